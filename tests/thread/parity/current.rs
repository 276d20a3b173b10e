// Promises of `current`, `Thread`, `ThreadId`, thread-locals, sleeping, and the machine's measure.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

#[test]
fn ids_tell_threads_apart_and_are_never_reused() {
    let mut ids: HashSet<thread::ThreadId> = (0..50)
        .map(|_| thread::spawn(|| thread::current().id()).join().unwrap())
        .collect();
    ids.insert(thread::current().id());
    assert_eq!(ids.len(), 51);
}

#[test]
fn a_thread_and_its_handle_agree_on_the_id() {
    let handle = thread::spawn(|| thread::current().id());
    let id = handle.thread().id();
    assert_eq!(handle.join().unwrap(), id);
    assert_eq!(thread::current().id(), thread::current().clone().id());
}

#[test]
fn an_id_leaves_room_for_none() {
    assert_eq!(size_of::<Option<thread::ThreadId>>(), 8);
    assert!(format!("{:?}", thread::current().id()).starts_with("ThreadId("));
}

#[test]
fn threads_have_no_name_by_default() {
    let named = thread::spawn(|| thread::current().name().is_some());
    assert!(!named.join().unwrap());
}

#[test]
fn current_works_in_threads_of_others_making() {
    let other = std::thread::Builder::new().name("of std".into()).spawn(|| {
        (
            thread::current().id(),
            thread::current().name().map(String::from),
        )
    });
    let (id, name) = other.unwrap().join().unwrap();
    assert_ne!(id, thread::current().id());
    assert_eq!(name.as_deref(), Some("of std"));
}

#[test]
fn panicking_is_true_while_unwinding() {
    struct Ask(std::sync::mpsc::Sender<bool>);
    impl Drop for Ask {
        fn drop(&mut self) {
            self.0.send(thread::panicking()).unwrap();
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let calm = Ask(sender.clone());
    let upset = Ask(sender);
    thread::spawn(move || drop(calm)).join().unwrap();
    let panicked = thread::spawn(move || {
        let _upset = upset;
        panic!("unwinding");
    });
    assert!(panicked.join().is_err());
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [false, true]);
}

#[test]
fn every_thread_has_its_own_thread_locals() {
    thread_local!(static OWN: Cell<u32> = const { Cell::new(1) });
    OWN.set(2);
    fn bump(key: &'static thread::LocalKey<Cell<u32>>) -> Result<u32, thread::AccessError> {
        key.try_with(|own| own.replace(own.get() + 10))
    }
    for _ in 0..3 {
        let seen = thread::spawn(|| (bump(&OWN).unwrap(), OWN.get()));
        assert_eq!(seen.join().unwrap(), (1, 11));
    }
    assert_eq!(OWN.get(), 2);
}

#[test]
fn a_sleep_is_never_shorter_than_asked_for() {
    for wanted in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(7),
    ] {
        let start = Instant::now();
        thread::sleep(wanted);
        assert!(start.elapsed() >= wanted);
    }
    let start = Instant::now();
    #[allow(deprecated, reason = "programs still use it")]
    thread::sleep_ms(3);
    assert!(start.elapsed() >= Duration::from_millis(3));
}

#[test]
fn at_least_one_thread_can_run() {
    let count = thread::available_parallelism().unwrap().get();
    assert_eq!(count, std::thread::available_parallelism().unwrap().get());
    thread::yield_now();
}
