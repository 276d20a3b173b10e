//! Third-party libraries in threads of this crate.
#![cfg(feature = "std")]

#[path = "../common/support.rs"]
mod support;

use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_rayon_pool_of_rawthreads() {
    fn spawn(thread: rayon::ThreadBuilder) -> std::io::Result<()> {
        let builder = rawthread::Builder::new().name(format!("rayon {}", thread.index()));
        builder.spawn(|| thread.run())?;
        Ok(())
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .spawn_handler(spawn)
        .build()
        .unwrap();
    let names: BTreeSet<_> = pool
        .broadcast(|_| rawthread::current().name().map(String::from))
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(
        names,
        (0..4)
            .map(|n| format!("rayon {n}"))
            .collect::<BTreeSet<_>>()
    );
    // Work steals across the threads, nests, and sorts.
    let sum: u64 = pool.install(|| (0..100_000u64).into_par_iter().map(|n| n * 2).sum());
    assert_eq!(sum, 99_999 * 100_000);
    let mut numbers: Vec<u32> = (0..50_000).map(|n| n * 7919 % 50_021).collect();
    pool.install(|| numbers.par_sort_unstable());
    assert!(numbers.is_sorted());
    let caught = pool.install(|| std::panic::catch_unwind(|| rayon::join(|| 1, || panic!("2"))));
    assert!(caught.is_err());
}

#[test]
fn parking_lot_locks_between_rawthreads() {
    let pair = Arc::new((parking_lot::Mutex::new(0), parking_lot::Condvar::new()));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let pair = pair.clone();
            rawthread::spawn(move || {
                for _ in 0..1000 {
                    *pair.0.lock() += 1;
                }
                pair.1.notify_all();
            })
        })
        .collect();
    let mut count = pair.0.lock();
    while *count < 8000 {
        pair.1.wait(&mut count);
    }
    drop(count);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn crossbeam_channels_between_rawthreads() {
    let (sender, receiver) = crossbeam_channel::bounded(2);
    let (late, never) = crossbeam_channel::unbounded::<()>();
    let sum: u64 = rawthread::scope(|s| {
        for _ in 0..4 {
            let sender = sender.clone();
            s.spawn(move || (0..1000u64).for_each(|n| sender.send(n).unwrap()));
        }
        drop(sender);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                s.spawn(|| {
                    let mut sum = 0;
                    loop {
                        crossbeam_channel::select! {
                            recv(receiver) -> n => match n {
                                Ok(n) => sum += n,
                                Err(_) => return sum,
                            },
                            recv(never) -> _ => unreachable!("nobody sends here"),
                        }
                    }
                })
            })
            .collect();
        receivers.into_iter().map(|r| r.join().unwrap()).sum()
    });
    drop(late);
    assert_eq!(sum, 4 * 999 * 1000 / 2);
}

#[test]
fn a_tokio_runtime_inside_a_rawthread() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    let runtime = rawthread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let ticker = tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                100
            });
            // Its blocking pool makes pthreads beside us.
            let blocking = tokio::task::spawn_blocking(|| 1000);
            let mut sum = ticker.await.unwrap() + blocking.await.unwrap();
            while let Some(n) = receiver.recv().await {
                sum += n;
            }
            sum
        })
    });
    // Woken from another thread of this crate.
    rawthread::spawn(move || (1..=10).for_each(|n| sender.blocking_send(n).unwrap()))
        .join()
        .unwrap();
    assert_eq!(runtime.join().unwrap(), 1155);
}

/// What each thread logged, by the name that this crate knows.
static LINES: Mutex<Vec<(Option<String>, String)>> = Mutex::new(Vec::new());

fn note(line: String) {
    let name = rawthread::current().name().map(String::from);
    LINES.lock().unwrap().push((name, line));
}

fn logged_by(thread: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    let own = lines
        .iter()
        .filter(|(name, _)| name.as_deref() == Some(thread));
    own.map(|(_, line)| line.clone()).collect()
}

#[test]
fn log_lines_carry_the_threads_name() {
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            note(record.args().to_string());
        }
        fn flush(&self) {}
    }
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let builder = rawthread::Builder::new().name("logger".into());
    let thread = builder.spawn(|| log::info!("from within")).unwrap();
    thread.join().unwrap();
    assert_eq!(logged_by("logger"), ["from within"]);
}

#[test]
fn tracing_spans_stay_with_their_thread() {
    use tracing::span;
    struct Subscriber;
    impl tracing::Subscriber for Subscriber {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
            note(format!("span {}", attributes.metadata().name()));
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            note(format!("event {}", event.metadata().level()));
        }
        fn enter(&self, _: &span::Id) {
            note("enter".into());
        }
        fn exit(&self, _: &span::Id) {
            note("exit".into());
        }
    }
    let builder = rawthread::Builder::new().name("traced".into());
    let thread = builder.spawn(|| {
        // The dispatcher is a thread-local with a destructor.
        tracing::subscriber::with_default(Subscriber, || {
            tracing::info_span!("work").in_scope(|| tracing::warn!("an event"));
        });
    });
    thread.unwrap().join().unwrap();
    assert_eq!(
        logged_by("traced"),
        ["span work", "enter", "event WARN", "exit"]
    );
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
