// Promises of `scope`, `Scope`, `ScopedJoinHandle` and `Builder::spawn_scoped`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// What a caught panic said.
fn said(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<&str>() {
        Ok(text) => text.to_string(),
        Err(payload) => *payload.downcast::<String>().expect("a message"),
    }
}

#[test]
fn threads_borrow_what_outlives_the_scope() {
    let mut numbers = vec![1, 2, 3];
    let mut sum = 0;
    thread::scope(|s| {
        s.spawn(|| assert_eq!(numbers.len(), 3));
        s.spawn(|| sum += numbers[0] + numbers[2]);
    });
    numbers.push(4);
    assert_eq!(sum, numbers.len());
}

#[test]
fn the_scope_returns_what_its_function_returns() {
    let text = String::from("outside");
    let part: &str = thread::scope(|s| s.spawn(|| &text[3..]).join().unwrap());
    assert_eq!(part, "side");
}

#[test]
fn threads_not_joined_are_joined_at_the_end() {
    let ended = AtomicUsize::new(0);
    let held = AtomicBool::new(true);
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                while held.load(Relaxed) {
                    thread::yield_now();
                }
                thread::sleep(Duration::from_millis(10));
                ended.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(ended.load(Relaxed), 0, "spawn does not wait");
        held.store(false, Relaxed);
    });
    assert_eq!(ended.load(Relaxed), 8);
}

#[test]
fn a_panic_that_was_not_joined_makes_the_scope_panic() {
    let others = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        thread::scope(|s| {
            s.spawn(|| panic!("inside"));
            s.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                others.fetch_add(1, Relaxed);
            });
        });
    }));
    assert_eq!(said(caught.unwrap_err()), "a scoped thread panicked");
    assert_eq!(others.load(Relaxed), 1, "all threads have ended by then");
}

#[test]
fn a_panic_of_a_dropped_handle_makes_the_scope_panic() {
    for wait_before_drop in [false, true] {
        let caught = catch_unwind(|| {
            thread::scope(|s| {
                let handle = s.spawn(|| panic!("inside"));
                while wait_before_drop && !handle.is_finished() {
                    thread::yield_now();
                }
                drop(handle);
            });
        });
        assert_eq!(said(caught.unwrap_err()), "a scoped thread panicked");
    }
}

#[test]
fn a_panic_that_was_joined_does_not() {
    let payload = thread::scope(|s| s.spawn(|| panic!("inside")).join().unwrap_err());
    assert_eq!(said(payload), "inside");
}

#[test]
fn one_joined_panic_does_not_hide_another() {
    let caught = catch_unwind(|| {
        thread::scope(|s| {
            s.spawn(|| panic!("unseen"));
            assert!(s.spawn(|| panic!("seen")).join().is_err());
        });
    });
    assert_eq!(said(caught.unwrap_err()), "a scoped thread panicked");
}

#[test]
fn a_panic_of_the_function_passes_when_all_threads_have_ended() {
    let ended = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                ended.fetch_add(1, Relaxed);
            });
            s.spawn(|| panic!("of a thread"));
            panic!("of the function");
        });
    }));
    assert_eq!(said(caught.unwrap_err()), "of the function");
    assert_eq!(ended.load(Relaxed), 1);
}

#[test]
fn threads_spawn_siblings() {
    let count = AtomicUsize::new(0);
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..3 {
                    // Outlives the thread that spawned it, and the function.
                    s.spawn(|| {
                        thread::sleep(Duration::from_millis(5));
                        count.fetch_add(1, Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(count.load(Relaxed), 9);
}

#[test]
fn scopes_nest() {
    let mut grid = [[0; 3]; 3];
    thread::scope(|outer| {
        for (y, row) in grid.iter_mut().enumerate() {
            outer.spawn(move || {
                thread::scope(|inner| {
                    for (x, cell) in row.iter_mut().enumerate() {
                        inner.spawn(move || *cell = 3 * y + x);
                    }
                });
            });
        }
    });
    assert_eq!(grid, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
}

#[test]
fn all_a_thread_did_happens_before_the_scope_ends() {
    for _ in 0..200 {
        // A plain value: a race detector, or luck, would tell.
        let mut value = 0u64;
        thread::scope(|s| {
            s.spawn(|| value = 7);
        });
        assert_eq!(value, 7);
    }
}

#[test]
fn results_are_dropped_before_the_scope_ends() {
    struct Count<'a>(&'a AtomicUsize);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let dropped = AtomicUsize::new(0);
    thread::scope(|s| {
        drop(s.spawn(|| Count(&dropped)));
        let late = s.spawn(|| Count(&dropped));
        while !late.is_finished() {
            thread::yield_now();
        }
        drop(late);
        let kept = s.spawn(|| Count(&dropped)).join().unwrap();
        drop(kept);
    });
    assert_eq!(dropped.load(Relaxed), 3);
}

#[test]
fn a_builder_names_and_sizes_a_scoped_thread() {
    let here = String::from("x");
    thread::scope(|s| {
        let handle = thread::Builder::new()
            .name("in scope".into())
            .stack_size(16 << 20)
            .spawn_scoped(s, || {
                let large = std::hint::black_box([1u8; 4 << 20]);
                (
                    large.len() + here.len(),
                    thread::current().name().map(String::from),
                )
            })
            .unwrap();
        assert_eq!(handle.thread().name(), Some("in scope"));
        assert_eq!(
            handle.join().unwrap(),
            ((4 << 20) + 1, Some("in scope".into()))
        );
    });
}

#[test]
fn a_builder_reports_what_the_system_refuses() {
    let after = thread::scope(|s| {
        let refused = thread::Builder::new()
            .stack_size(1 << 50)
            .spawn_scoped(s, || ());
        let error: std::io::Error = refused.map(drop).unwrap_err();
        // The number, or this crate's error, which has the number.
        assert!(error.raw_os_error().is_some() || error.get_ref().is_some());
        s.spawn(|| 1).join().unwrap()
    });
    assert_eq!(after, 1, "the scope can be used on, and ends");
}

#[test]
fn a_nul_in_the_name_panics() {
    let caught = catch_unwind(|| {
        thread::scope(|s| {
            let _ = thread::Builder::new()
                .name("a\0b".into())
                .spawn_scoped(s, || ());
        });
    });
    assert!(caught.is_err());
}

#[test]
fn a_handle_knows_its_thread_and_whether_it_has_finished() {
    let go_on = AtomicBool::new(false);
    thread::scope(|s| {
        let handle = s.spawn(|| {
            while !go_on.load(Relaxed) {
                thread::park();
            }
            thread::current().id()
        });
        assert!(!handle.is_finished());
        go_on.store(true, Relaxed);
        handle.thread().unpark();
        while !handle.is_finished() {
            thread::yield_now();
        }
        let id = handle.thread().id();
        assert_eq!(handle.join().unwrap(), id);
    });
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
    thread::scope(|s| {
        s.spawn(|| SLOW.with(|_| ())).join().unwrap();
        assert_eq!(GONE.load(Relaxed), 1);
    });
}

#[test]
fn types_are_what_they_are_in_std() {
    use std::cell::Cell;
    use std::panic::RefUnwindSafe;
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<thread::Scope<'_, '_>>();
    shared::<thread::ScopedJoinHandle<'_, Cell<u8>>>();
    fn ref_unwind_safe<T: RefUnwindSafe>() {}
    ref_unwind_safe::<thread::Scope<'_, '_>>();
    // A handle of a longer scope can stand for one of a shorter.
    #[allow(dead_code, reason = "compiling is the test")]
    fn covariant<'a, 'long: 'a>(
        handle: thread::ScopedJoinHandle<'long, u8>,
    ) -> thread::ScopedJoinHandle<'a, u8> {
        handle
    }
    thread::scope(|s| {
        assert!(format!("{s:?}").starts_with("Scope"));
        let handle = s.spawn(|| ());
        assert!(format!("{handle:?}").starts_with("ScopedJoinHandle"));
    });
}
