//! What scopes promise beyond std's.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[test]
fn destructors_of_thread_locals_have_run_when_the_scope_ends() {
    static GONE: AtomicUsize = AtomicUsize::new(0);
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            rawthread::sleep(Duration::from_millis(20));
            GONE.fetch_add(1, Relaxed);
        }
    }
    thread_local!(static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) });
    rawthread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| SLOW.set(Some(Slow)));
        }
    });
    assert_eq!(GONE.load(Relaxed), 4);
}

#[test]
fn a_forgotten_handle_neither_holds_the_scope_nor_hides_a_panic() {
    rawthread::scope(|s| std::mem::forget(s.spawn(|| 1)));
    let caught = catch_unwind(|| {
        // A payload without memory of its own: nothing ever drops it.
        rawthread::scope(|s| std::mem::forget(s.spawn(|| std::panic::panic_any(()))));
    });
    let payload = caught.unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"a scoped thread panicked")
    );
}

#[test]
fn scoped_handles_come_back_when_it_is_not_yet_time() {
    rawthread::scope(|s| {
        let handle = s.spawn(|| {
            rawthread::park();
            panic!("taken by the join");
        });
        let handle = handle.try_join().map(drop).unwrap_err();
        let handle = handle
            .join_timeout(Duration::from_millis(2))
            .map(drop)
            .unwrap_err();
        let deadline = Instant::now() + Duration::from_millis(2);
        let handle = handle.join_deadline(deadline).map(drop).unwrap_err();
        assert!(Instant::now() >= deadline);
        handle.thread().unpark();
        assert!(handle.join_timeout(Duration::MAX).unwrap().is_err());
    });
}

/// The scope's ledger goes with its stack frame while its last thread still runs: other frames,
/// with other futex words, take its place at once.
#[test]
fn the_last_thread_leaves_no_trace_on_the_stack_of_a_scope() {
    fn round(depth: usize) -> usize {
        let pattern = std::hint::black_box([depth; 32]);
        let mut seen = 0;
        rawthread::scope(|s| {
            s.spawn(|| seen = pattern[depth % 32]);
        });
        if depth > 0 {
            seen += round(depth - 1);
        }
        assert!(pattern.iter().all(|word| *word == depth));
        seen
    }
    rawthread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(round(7), 28);
                }
            });
        }
    });
}

#[test]
fn a_thousand_threads_in_one_scope() {
    let count = AtomicUsize::new(0);
    rawthread::scope(|s| {
        for _ in 0..1000 {
            s.spawn(|| count.fetch_add(1, Relaxed));
        }
    });
    assert_eq!(count.load(Relaxed), 1000);
}

/// A thread whose startup action fails exists for a moment, but is none of the scope's: it must not be
/// counted down twice, nor waited for.
#[test]
fn a_thread_that_its_set_up_refuses_is_none_of_the_scope() {
    let ran = AtomicUsize::new(0);
    rawthread::scope(|s| {
        for _ in 0..50 {
            let refuse = || Err(rawthread::Error::from_raw_os_error(libc::EPERM));
            let refused = rawthread::Builder::new()
                .before_start(refuse)
                .try_spawn_scoped(s, || ran.fetch_add(100, Relaxed));
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
            s.spawn(|| ran.fetch_add(1, Relaxed));
        }
    });
    assert_eq!(ran.load(Relaxed), 50);
}
