//! Threads one by one: named ones, the first of a process, and many spawners at once.

use std::collections::VecDeque;
use std::sync::{Arc, Barrier};

use threadpool::ThreadPool;

use crate::work::{self, Batch, Prepare, Work, plain};

const NAMED: usize = 4000;
const ALIVE: usize = 2;

/// 4,000 named threads, of which two are alive at a time.
pub(crate) fn named() -> Work {
    Work {
        name: "4,000 named threads, 2 alive",
        unit: "per thread",
        units: NAMED as u32,
        warm_up: 0,
        batches: 1,
        processes: 1,
        contenders: vec![
            plain(work::RAWTHREAD, || {
                windowed(
                    |number| {
                        let builder = rawthread::Builder::new().name(format!("worker-{number}"));
                        builder.spawn(|| ()).expect("a thread")
                    },
                    |handle| handle.join().expect("no panic"),
                );
            }),
            plain(work::STD, || {
                windowed(
                    |number| {
                        let builder = std::thread::Builder::new().name(format!("worker-{number}"));
                        builder.spawn(|| ()).expect("a thread")
                    },
                    |handle| handle.join().expect("no panic"),
                );
            }),
            plain(work::CROSSBEAM, || {
                let ended = crossbeam_utils::thread::scope(|scope| {
                    windowed(
                        |number| {
                            let builder = scope.builder().name(format!("worker-{number}"));
                            builder.spawn(|_| ()).expect("a thread")
                        },
                        |handle| handle.join().expect("no panic"),
                    );
                });
                ended.expect("no panic");
            }),
        ],
    }
}

/// Spawns 4,000 threads, and joins the oldest whenever two are not joined.
fn windowed<H>(spawn: impl Fn(usize) -> H, join: impl Fn(H)) {
    let mut alive = VecDeque::with_capacity(ALIVE);
    for number in 0..NAMED {
        if alive.len() == ALIVE {
            alive.pop_front().map(&join);
        }
        alive.push_back(spawn(number));
    }
    alive.into_iter().for_each(join);
}

/// The first thread or task of a process, and its join.
pub(crate) fn first() -> Work {
    Work {
        name: "first spawn of a process",
        unit: "per process",
        units: 1,
        warm_up: 0,
        batches: 1,
        processes: 21,
        contenders: vec![
            work::spawn_then_join(work::RAWTHREAD, 1),
            work::spawn_then_join(work::STD, 1),
            work::spawn_then_join(work::PTHREAD, 1),
            work::spawn_then_join(work::WARM, 1),
            work::spawn_then_join(work::BARE_CLONE, 1),
            plain(work::CROSSBEAM, || {
                let ended = crossbeam_utils::thread::scope(|scope| {
                    scope.spawn(|_| ());
                });
                ended.expect("no panic");
            }),
            plain(work::RAYON, || rayon::scope(|scope| scope.spawn(|_| ()))),
            plain(work::THREADPOOL, || {
                let pool = ThreadPool::new(1);
                pool.execute(|| ());
                pool.join();
            }),
        ],
    }
}

/// 1, 2, 8 and 64 threads that spawn and join at the same time.
pub(crate) fn spawners() -> Vec<Work> {
    let rows = [
        ("1 spawner", 1),
        ("2 spawners at once", 2),
        ("8 spawners at once", 8),
        ("64 spawners at once", 64),
    ];
    let contenders = |count| {
        vec![
            spawner(work::RAWTHREAD, count),
            spawner(work::STD, count),
            spawner(work::PTHREAD, count),
            spawner(work::WARM, count),
            spawner(work::BARE_CLONE, count),
        ]
    };
    rows.map(|(name, count)| Work {
        name,
        unit: "per spawn and join",
        units: SPAWNS,
        warm_up: 1,
        batches: 2,
        processes: 1,
        contenders: contenders(count),
    })
    .into()
}

/// Spawns of one batch, by all spawners together.
const SPAWNS: u32 = 1024;

/// The spawners are std's threads for all contenders and stay alive.
fn spawner(name: &'static str, count: u32) -> (&'static str, Prepare) {
    let prepare = move || -> Batch {
        let barrier = Arc::new(Barrier::new(count as usize + 1));
        for _ in 0..count {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                let mut contender = work::common(name);
                loop {
                    barrier.wait();
                    for _ in 0..SPAWNS / count {
                        contender.spawn(|| ());
                        contender.join();
                    }
                    barrier.wait();
                }
            });
        }
        Box::new(move || {
            barrier.wait();
            barrier.wait();
        })
    };
    (name, Box::new(prepare))
}
