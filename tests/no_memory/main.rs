//! Where Rust's allocator has nothing, there is an error or a way without: no call that returns an error
//! ends the process.
#![allow(unsafe_code, reason = "is an allocator, and makes pthreads")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::SeqCst};

use rawthread::{Builder, Error, ErrorKind, JoinSet, warm};

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/support.rs"]
mod support;

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod of_libc;
mod other_threads;

/// The system's allocator, until it is told to refuse.
struct Refusing;

/// How many requests are granted yet; `isize::MAX`: all.
static LEFT: AtomicIsize = AtomicIsize::new(isize::MAX);

/// How many bytes are granted yet beyond those that are used; `isize::MAX`: all.
static BYTES: AtomicIsize = AtomicIsize::new(isize::MAX);

/// Whether a request was refused since the last [`limit`].
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Takes `amount` of what is left; false if there is less.
fn take(left: &AtomicIsize, amount: isize) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| match left {
        isize::MAX => Some(left),
        _ if left < amount => None,
        _ => Some(left - amount),
    })
    .is_ok()
}

/// Whether the calling thread is the main thread, which waits for the test, and may allocate as it does so.
fn is_main() -> bool {
    // SAFETY: these ask.
    unsafe { libc::gettid() == libc::getpid() }
}

// SAFETY: the system's allocator, or null.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let granted = take(&LEFT, 1) && take(&BYTES, layout.size() as isize);
        if !granted && !is_main() {
            REFUSED.store(true, SeqCst);
            return std::ptr::null_mut();
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // A place of before the limit counts, too: nothing here frees such.
        take(&BYTES, -(layout.size() as isize));
        // SAFETY: passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Runs `call` with so many requests or bytes granted; whether any request was refused, and its answer.
fn limited<T>(limit: &AtomicIsize, amount: isize, call: impl FnOnce() -> T) -> (bool, T) {
    assert!(!is_main());
    REFUSED.store(false, SeqCst);
    limit.store(amount, SeqCst);
    let answer = call();
    limit.store(isize::MAX, SeqCst);
    (REFUSED.load(SeqCst), answer)
}

/// A call with what it needs, which is made before memory is short.
type Attempt = Box<dyn FnOnce() -> Result<(), Error>>;

/// [`limited`] in a destructor that a panic runs.
fn limited_amid_a_panic(
    limit: &AtomicIsize,
    amount: isize,
    attempt: Attempt,
) -> (bool, Result<(), Error>) {
    struct Unwinding<'a> {
        limit: &'a AtomicIsize,
        amount: isize,
        attempt: Option<Attempt>,
        answer: &'a mut Option<(bool, Result<(), Error>)>,
    }
    impl Drop for Unwinding<'_> {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            let attempt = self.attempt.take().unwrap();
            *self.answer = Some(limited(self.limit, self.amount, attempt));
        }
    }
    let mut answer = None;
    let unwinding = Unwinding {
        limit,
        amount,
        attempt: Some(attempt),
        answer: &mut answer,
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _unwinding = unwinding;
        std::panic::resume_unwind(Box::new(7));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&7));
    answer.expect("the destructor ran")
}

/// How a call is made with a limit.
type Limited = fn(&AtomicIsize, isize, Attempt) -> (bool, Result<(), Error>);

/// Tries a call with 0 granted of what `limit` counts, with `step`, and so on until nothing is refused: each
/// answer is an error that says what was missing, or as good as with memory.
fn sweep(
    name: &str,
    limited: Limited,
    limit: &AtomicIsize,
    step: usize,
    prepare: impl Fn() -> Attempt,
) {
    for granted in (0..20_000).step_by(step) {
        eprintln!("{name}, {granted} granted");
        let attempt = prepare();
        let (refused, answer) = limited(limit, granted, attempt);
        match answer {
            Ok(()) if refused => {}
            Ok(()) => return,
            Err(error) => {
                assert!(refused, "{error}");
                assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
                assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
            }
        }
    }
    panic!("{name} asks for too much");
}

/// A name of 100 bytes, in a string that has room for more.
fn long_name() -> String {
    let mut name = String::with_capacity(200);
    name.extend(std::iter::repeat_n('n', 100));
    name
}

/// Joins, and forgets the payload of a panic.
fn joined<T>(handle: rawthread::JoinHandle<T>) -> T {
    handle
        .join()
        .unwrap_or_else(|_| panic!("the thread panicked"))
}

/// A name, and what prepares the call.
type Case = (&'static str, fn() -> Attempt);

fn attempts() -> Vec<Case> {
    vec![
        ("try_spawn", || {
            Box::new(|| Builder::new().try_spawn(|| 1).map(joined).map(drop))
        }),
        ("name_str", || {
            let name = long_name();
            Box::new(move || {
                let thread = Builder::new().name_str(&name).try_spawn(|| ())?;
                assert_eq!(thread.thread().name(), Some(&*name));
                thread.join().unwrap();
                Ok(())
            })
        }),
        ("name", || {
            let name = long_name();
            Box::new(move || {
                let thread = Builder::new().name(name).try_spawn(|| ())?;
                assert_eq!(thread.thread().name().map(str::len), Some(100));
                thread.join().unwrap();
                Ok(())
            })
        }),
        ("before_start", || {
            let payload = [1_u8; 100];
            Box::new(move || {
                let builder = Builder::new()
                    .before_start(move || {
                        (payload[99] == 1)
                            .then_some(())
                            .ok_or(Error::from_raw_os_error(1))
                    })
                    .before_start(|| Ok::<(), Error>(()));
                builder.try_spawn(|| ()).map(joined)
            })
        }),
        ("affinity", || {
            let cpus = rawthread::affinity().unwrap();
            Box::new(move || {
                let builder = Builder::new()
                    .affinity(cpus)
                    .scheduling(rawthread::Policy::Other { nice: 0 });
                builder.try_spawn(|| ()).map(joined)
            })
        }),
        ("scope", || {
            Box::new(|| {
                rawthread::scope(|scope| {
                    let handle = Builder::new()
                        .name_str("scoped")
                        .try_spawn_scoped(scope, || 1)?;
                    assert_eq!(handle.join().unwrap(), 1);
                    Ok(())
                })
            })
        }),
        ("warm", || {
            Box::new(|| warm::try_spawn(|| 1).map(joined).map(drop))
        }),
        ("warm::Builder", || {
            let name = long_name();
            Box::new(move || {
                let task = warm::Builder::new().name_str(&name).try_spawn(|| ())?;
                task.join().unwrap();
                Ok(())
            })
        }),
        ("warm::scope", || {
            Box::new(|| {
                warm::scope(|scope| {
                    let handle = warm::Builder::new().try_spawn_scoped(scope, || 1)?;
                    assert_eq!(handle.join().unwrap(), 1);
                    Ok(())
                })
            })
        }),
        ("JoinSet", || {
            Box::new(|| {
                let mut set = JoinSet::new();
                for n in 0..5 {
                    set.spawn_with(Builder::new(), move || n)?;
                }
                let results = set.try_join_all();
                // The threads are there all the same.
                assert_eq!(set.len(), if results.is_ok() { 0 } else { 5 });
                let mut sum: i32 = results?.into_iter().map(|n| n.unwrap()).sum();
                while let Some(n) = set.join_next() {
                    sum += n.unwrap();
                }
                assert_eq!(sum, 10);
                Ok(())
            })
        }),
        ("reserve", || {
            Box::new(|| {
                rawthread::trim();
                rawthread::reserve(2)?;
                rawthread::set_idle_memory(16 << 20);
                Ok(())
            })
        }),
        ("park", || {
            Box::new(|| {
                let thread = Builder::new().try_spawn(rawthread::park)?;
                thread.thread().unpark();
                joined(thread);
                Ok(())
            })
        }),
        ("current", || {
            Box::new(|| {
                let thread = Builder::new().try_spawn(|| rawthread::current().id())?;
                let id = thread.thread().id();
                assert_eq!(joined(thread), id);
                Ok(())
            })
        }),
        ("local!", || {
            rawthread::local!(static WORD: std::cell::Cell<[u64; 9]> = const { std::cell::Cell::new([3; 9]) });
            Box::new(|| {
                assert_eq!(Builder::new().try_spawn(|| WORD.get()[8]).map(joined)?, 3);
                Ok(())
            })
        }),
        ("a future", || {
            Box::new(|| {
                let thread = Builder::new().try_spawn(|| 1)?;
                let mut future = std::pin::pin!(std::future::IntoFuture::into_future(thread));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                while future.as_mut().poll(&mut context).is_pending() {
                    rawthread::yield_now();
                }
                Ok(())
            })
        }),
    ]
}

fn sweep_all(test: &str, limited: Limited) {
    if !common::in_subprocess(test) {
        return;
    }
    // What of libc and std is made once; names of threads that end later free what they had.
    for (_, prepare) in attempts() {
        prepare()().unwrap();
    }
    for (name, prepare) in attempts() {
        // std's handle is asked for once there is memory enough, at that moment: a request for itself cannot
        // be the one that is refused.
        if name != "current" {
            sweep(name, limited, &LEFT, 1, prepare);
        }
        sweep(name, limited, &BYTES, 40, prepare);
    }
}

#[test]
fn a_spawn_without_memory_is_an_error() {
    sweep_all("a_spawn_without_memory_is_an_error", limited);
}

#[test]
fn a_spawn_with_hooks_and_without_memory_is_an_error() {
    if common::is_child("a_spawn_with_hooks_and_without_memory_is_an_error") {
        for n in 0..3_u64 {
            rawthread::add_spawn_hook(move |thread| {
                assert!(thread.name().is_none_or(|name| !name.is_empty()));
                move || assert!(std::hint::black_box(n) < 3)
            });
        }
        // Steps of no size need no memory.
        rawthread::add_spawn_hook(|_| || ());
    }
    sweep_all("a_spawn_with_hooks_and_without_memory_is_an_error", limited);
}

/// Destructors that a panic runs may use all of the crate, with memory or without.
#[test]
fn a_spawn_amid_a_panic_and_without_memory_is_an_error() {
    sweep_all(
        "a_spawn_amid_a_panic_and_without_memory_is_an_error",
        limited_amid_a_panic,
    );
}

/// The first thread of a process needs nothing of Rust's allocator.
#[test]
fn the_first_spawn_needs_no_memory_of_rusts() {
    if common::in_subprocess("the_first_spawn_needs_no_memory_of_rusts") {
        let (refused, answer) = limited(&LEFT, 0, || Builder::new().try_spawn(|| 7).map(joined));
        assert_eq!((refused, answer.unwrap()), (false, 7));
    }
}

/// An `io::Error` that holds another needs memory: without, it has the kind.
#[test]
fn the_error_of_a_spawn_is_an_error_without_memory_too() {
    let wants_too_much = || {
        Builder::new()
            .stack_size(usize::MAX)
            .spawn(|| ())
            .unwrap_err()
    };
    if !common::in_subprocess("the_error_of_a_spawn_is_an_error_without_memory_too") {
        return;
    }
    let kind = wants_too_much().kind();
    for bytes in 0..512 {
        let (refused, error) = limited(&BYTES, bytes, wants_too_much);
        assert_eq!(error.kind(), kind);
        assert_eq!(Error::from_io(&error).is_none(), refused, "{bytes}");
    }
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
