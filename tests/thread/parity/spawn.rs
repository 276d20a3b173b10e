// Promises of `spawn`, `Builder`, `JoinHandle` and `Result`.

use std::cell::Cell;
use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn a_thread_returns_its_value_to_the_joiner() {
    let text = String::from("moved in, and out");
    let handle: thread::JoinHandle<String> = thread::spawn(move || text);
    assert_eq!(handle.join().unwrap(), "moved in, and out");
}

#[test]
fn a_panic_reaches_the_joiner_with_its_payload() {
    let text: thread::Result<()> = thread::spawn(|| panic!("text")).join();
    assert_eq!(text.unwrap_err().downcast_ref::<&str>(), Some(&"text"));
    let formatted: thread::Result<()> = thread::spawn(|| panic!("{}", 7)).join();
    let payload = formatted.unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().unwrap(), "7");
    let any: thread::Result<()> = thread::spawn(|| panic_any(7u64)).join();
    assert_eq!(any.unwrap_err().downcast_ref::<u64>(), Some(&7));
}

#[test]
fn a_panic_can_be_passed_on() {
    let caught = catch_unwind(|| match thread::spawn(|| panic!("first")).join() {
        Ok(()) => {}
        Err(payload) => resume_unwind(payload),
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"first"));
}

#[test]
fn a_panic_unwinds_the_thread_and_can_be_caught_in_it() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Owned;
    impl Drop for Owned {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
    let survived = thread::spawn(|| {
        let caught = catch_unwind(|| {
            let _owned = Owned;
            panic!("caught");
        });
        assert_eq!(DROPPED.load(Relaxed), 1);
        caught.is_err()
    });
    assert!(survived.join().unwrap());
}

#[test]
fn a_dropped_handle_detaches_the_thread() {
    let (sender, receiver) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    drop(thread::spawn(move || {
        let _ = gone.recv();
        sender.send("on its own").unwrap();
    }));
    drop(go);
    assert_eq!(receiver.recv().unwrap(), "on its own");
}

#[test]
fn a_thread_may_outlive_the_thread_that_made_it() {
    let (sender, receiver) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let parent = thread::spawn(move || {
        thread::spawn(move || {
            let _ = gone.recv();
            sender.send("still here").unwrap();
        });
    });
    parent.join().unwrap();
    drop(go);
    assert_eq!(receiver.recv().unwrap(), "still here");
}

#[test]
fn all_a_thread_did_happens_before_its_join_returns() {
    for _ in 0..200 {
        let counter = Arc::new(AtomicUsize::new(0));
        let shared = counter.clone();
        let handle = thread::spawn(move || shared.store(7, Relaxed));
        handle.join().unwrap();
        assert_eq!(counter.load(Relaxed), 7);
    }
}

#[test]
fn a_join_waits_for_destructors_of_thread_locals() {
    static GONE: AtomicUsize = AtomicUsize::new(0);
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(20));
            GONE.fetch_add(1, Relaxed);
        }
    }
    thread_local!(static SLOW: Slow = const { Slow });
    thread::spawn(|| SLOW.with(|_| ())).join().unwrap();
    assert_eq!(GONE.load(Relaxed), 1);
}

#[test]
fn is_finished_tells_without_waiting_whether_a_join_would() {
    static HELD: AtomicBool = AtomicBool::new(true);
    let handle = thread::spawn(|| {
        while HELD.load(Relaxed) {
            thread::yield_now();
        }
    });
    assert!(!handle.is_finished());
    HELD.store(false, Relaxed);
    while !handle.is_finished() {
        thread::yield_now();
    }
    handle.join().unwrap();
}

#[test]
fn a_builder_names_a_thread() {
    let name = "a-name-of-more-than-fifteen-bytes";
    let handle = thread::Builder::new()
        .name(name.into())
        .spawn(|| {
            let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            (thread::current().name().map(String::from), comm)
        })
        .unwrap();
    assert_eq!(handle.thread().name(), Some(name));
    let (own, comm) = handle.join().unwrap();
    assert_eq!(own.as_deref(), Some(name));
    assert_eq!(comm.trim_end(), &name[..15]);
}

#[test]
fn a_nul_in_the_name_panics() {
    let builder = thread::Builder::new().name("a\0b".into());
    assert!(catch_unwind(|| builder.spawn(|| ())).is_err());
}

#[test]
fn a_builder_sizes_the_stack() {
    let large = thread::Builder::new().stack_size(32 << 20).spawn(|| {
        let block = std::hint::black_box([1u8; 8 << 20]);
        block.len()
    });
    assert_eq!(large.unwrap().join().unwrap(), 8 << 20);
}

#[test]
fn a_stack_may_be_larger_than_asked_for() {
    let handle = thread::Builder::new().stack_size(1).spawn(|| 7).unwrap();
    assert_eq!(handle.join().unwrap(), 7);
}

#[test]
fn a_builder_reports_what_the_system_refuses() {
    let refused = thread::Builder::new().stack_size(1 << 50).spawn(|| ());
    let error: std::io::Error = refused.map(drop).unwrap_err();
    // The number, or this crate's error, which has the number.
    assert!(error.raw_os_error().is_some() || error.get_ref().is_some());
}

#[test]
#[allow(unsafe_code, reason = "the promise of an unsafe function")]
fn an_unchecked_thread_may_borrow() {
    let x = 1;
    let borrowed = &x;
    // SAFETY: joined before `x` goes.
    let handle = unsafe { thread::Builder::new().spawn_unchecked(move || *borrowed + 1) };
    assert_eq!(handle.unwrap().join().unwrap(), 2);
}

#[test]
fn types_are_what_they_are_in_std() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<thread::JoinHandle<*const Cell<u8>>>();
    shared::<thread::Builder>();
    shared::<thread::Thread>();
    shared::<thread::ThreadId>();
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<thread::Thread>();
    safe::<thread::ThreadId>();
    let handle = thread::spawn(|| ());
    assert!(format!("{handle:?}").starts_with("JoinHandle"));
}
