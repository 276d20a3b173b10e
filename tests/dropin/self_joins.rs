//! A thread that joins itself: a panic with std's text in every kind of join, never a hang.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rawthread::{JoinHandle, JoinSet, warm};

/// What a self-join panics with.
fn text(join: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(join)).unwrap_err();
    let literal = payload.downcast_ref::<&str>().map(|text| text.to_string());
    literal
        .or(payload.downcast_ref::<String>().cloned())
        .unwrap()
}

fn expected() -> String {
    let error = std::io::Error::from_raw_os_error(libc::EDEADLK);
    format!("failed to join thread: {error}")
}

type Spawn = fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()>;

/// The text of `join` of a thread's own handle; `spawn` makes the thread.
fn own(spawn: Spawn, join: fn(JoinHandle<()>)) -> String {
    let (sender, receiver) = mpsc::channel::<JoinHandle<()>>();
    let (report, reported) = mpsc::channel();
    let thread = spawn(Box::new(move || {
        let own = receiver.recv().unwrap();
        report.send(text(|| join(own))).unwrap();
    }));
    sender.send(thread).unwrap();
    reported.recv().unwrap()
}

const SPAWNS: [Spawn; 3] = [
    |work| rawthread::spawn(work),
    |work| warm::spawn(work),
    |work| warm::spawn_unverified(work),
];

#[test]
fn every_join_without_a_limit_panics() {
    let joins: [fn(JoinHandle<()>); 3] = [
        |own| own.join().unwrap(),
        |own| own.join_reaped().unwrap(),
        // Beyond the clock's range: as `join`.
        |own| own.join_timeout(Duration::MAX).unwrap().unwrap(),
    ];
    for spawn in SPAWNS {
        for join in joins {
            assert_eq!(own(spawn, join), expected());
        }
    }
}

/// The handle comes back, and is of use.
#[test]
fn a_join_with_a_limit_keeps_it() {
    for spawn in SPAWNS {
        let text = own(spawn, |own| {
            let own = own.try_join().unwrap_err();
            let own = own.join_timeout(Duration::from_millis(1)).unwrap_err();
            let soon = Instant::now() + Duration::from_millis(1);
            let own = own.join_deadline(soon).unwrap_err();
            assert_eq!(own.thread().id(), rawthread::current().id());
            own.join().unwrap();
        });
        assert_eq!(text, expected());
    }
}

#[test]
fn a_scoped_thread_that_joins_itself_panics() {
    rawthread::scope(|s| {
        for builder in [None, Some(warm::Builder::new())] {
            let (sender, receiver) = mpsc::channel::<rawthread::ScopedJoinHandle<'_, ()>>();
            let (report, reported) = mpsc::channel();
            let work = move || {
                let own = receiver.recv().unwrap();
                report.send(text(|| own.join().unwrap())).unwrap();
            };
            let thread = match builder {
                None => s.spawn(work),
                Some(builder) => builder.try_spawn_scoped(s, work).unwrap(),
            };
            sender.send(thread).unwrap();
            assert_eq!(reported.recv().unwrap(), expected());
        }
    });
}

#[test]
fn a_set_whose_only_thread_waits_for_it_panics() {
    let waits: [fn(&mut JoinSet<()>); 2] =
        [|set| drop(set.join_next()), |set| drop(set.join_all())];
    for wait in waits {
        let (sender, receiver) = mpsc::channel::<JoinSet<()>>();
        let (report, reported) = mpsc::channel();
        let mut set = JoinSet::new();
        set.spawn(move || {
            let mut own = receiver.recv().unwrap();
            report.send(text(|| wait(&mut own))).unwrap();
        });
        sender.send(set).unwrap();
        assert_eq!(reported.recv().unwrap(), expected());
    }
}

/// A poll does not wait: the future is pending, and another thread that has it sees the end.
#[test]
fn a_thread_may_poll_its_own_future() {
    use std::future::{Future, IntoFuture};
    use std::task::{Context, Waker};
    let (sender, receiver) = mpsc::channel::<JoinHandle<u32>>();
    let (back, returned) = mpsc::channel();
    let thread = rawthread::spawn(move || {
        let mut own = receiver.recv().unwrap().into_future();
        let mut context = Context::from_waker(Waker::noop());
        assert!(std::pin::Pin::new(&mut own).poll(&mut context).is_pending());
        back.send(own).unwrap();
        7
    });
    sender.send(thread).unwrap();
    let handle = returned.recv().unwrap().into_handle().unwrap();
    assert_eq!(handle.join().unwrap(), 7);
}
