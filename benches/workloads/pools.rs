//! Pools: one made and dropped, and tasks for one that exists.

use std::sync::mpsc;

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use threadpool::ThreadPool;

use crate::work::{self, Batch, Prepare, Work, plain};

const THREADS: usize = 16;

/// A pool of 16 threads is made, asked once and dropped; its threads are joined.
pub(crate) fn pool() -> Work {
    Work {
        name: "pool of 16 made and dropped",
        unit: "per pool",
        units: 1,
        warm_up: 5,
        batches: 30,
        processes: 1,
        contenders: vec![
            plain(work::RAWTHREAD, || {
                rayon_pool(
                    |thread| rawthread::spawn(|| thread.run()),
                    |handle| handle.join().expect("no panic"),
                );
            }),
            plain(work::STD, || {
                rayon_pool(
                    |thread| std::thread::spawn(|| thread.run()),
                    |handle| handle.join().expect("no panic"),
                );
            }),
            plain(work::WARM, || {
                rayon_pool(
                    |thread| rawthread::warm::spawn(|| thread.run()),
                    |handle| handle.join().expect("no panic"),
                );
            }),
            plain(work::THREADPOOL, || {
                let pool = ThreadPool::new(THREADS);
                for _ in 0..THREADS {
                    pool.execute(|| ());
                }
                pool.join();
            }),
        ],
    }
}

/// Rayon's pool on threads that `spawn` makes.
fn rayon_pool<H>(mut spawn: impl FnMut(ThreadBuilder) -> H, join: impl Fn(H)) {
    let mut handles = Vec::with_capacity(THREADS);
    let pool = ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .spawn_handler(|thread| {
            handles.push(spawn(thread));
            Ok(())
        })
        .build()
        .expect("a pool");
    pool.install(|| ());
    drop(pool);
    handles.into_iter().for_each(join);
}

/// One task, and its answer.
pub(crate) fn task() -> Work {
    batch_of("one task and its answer", 1)
}

/// 64 tasks, and then their answers.
pub(crate) fn tasks() -> Work {
    batch_of("64 tasks and their answers", 64)
}

fn batch_of(name: &'static str, tasks: u32) -> Work {
    let repeat = 64 / tasks;
    Work {
        name,
        unit: "per task",
        units: tasks * repeat,
        warm_up: 10,
        batches: 50,
        processes: 1,
        contenders: vec![
            handles(
                work::RAWTHREAD,
                (tasks, repeat),
                |number| rawthread::spawn(move || number + 1),
                |handle| handle.join().expect("no panic"),
            ),
            handles(
                work::STD,
                (tasks, repeat),
                |number| std::thread::spawn(move || number + 1),
                |handle| handle.join().expect("no panic"),
            ),
            handles(
                work::WARM,
                (tasks, repeat),
                |number| rawthread::warm::spawn(move || number + 1),
                |handle| handle.join().expect("no panic"),
            ),
            channels(work::RAYON, (tasks, repeat), || {
                Box::new(|number, answer| rayon::spawn(move || send(number, &answer)))
            }),
            channels(work::THREADPOOL, (tasks, repeat), || {
                let pool = ThreadPool::new(crate::common::machine::processors());
                Box::new(move |number, answer| pool.execute(move || send(number, &answer)))
            }),
        ],
    }
}

fn send(number: u32, answer: &mpsc::Sender<u32>) {
    answer.send(number + 1).expect("a receiver");
}

/// Tasks whose answers come by handles.
fn handles<H: 'static>(
    name: &'static str,
    (tasks, repeat): (u32, u32),
    spawn: fn(u32) -> H,
    join: fn(H) -> u32,
) -> (&'static str, Prepare) {
    let prepare = move || -> Batch {
        let mut handles = Vec::with_capacity(tasks as usize);
        Box::new(move || {
            for _ in 0..repeat {
                handles.extend((0..tasks).map(spawn));
                let sum: u32 = handles.drain(..).map(join).sum();
                assert_eq!(sum, tasks * (tasks + 1) / 2);
            }
        })
    };
    (name, Box::new(prepare))
}

type Submit = Box<dyn Fn(u32, mpsc::Sender<u32>)>;

/// Tasks whose answers come by a channel.
fn channels(
    name: &'static str,
    (tasks, repeat): (u32, u32),
    make: fn() -> Submit,
) -> (&'static str, Prepare) {
    let prepare = move || -> Batch {
        let submit = make();
        Box::new(move || {
            for _ in 0..repeat {
                let (answer, answers) = mpsc::channel();
                for number in 0..tasks {
                    submit(number, answer.clone());
                }
                drop(answer);
                assert_eq!(answers.iter().sum::<u32>(), tasks * (tasks + 1) / 2);
            }
        })
    };
    (name, Box::new(prepare))
}
