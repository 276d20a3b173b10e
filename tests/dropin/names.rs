// Included twice: `thread` is `std::thread` or `rawthread`. Every stable name of `std::thread` in Rust
// 1.95, with its type: that this compiles is the test. The list is checked against the toolchain's
// documentation by `listing.rs`.

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io;
use std::num::NonZero;
use std::os::unix::thread::{JoinHandleExt, RawPthread};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

type Work = fn() -> u8;

#[test]
#[allow(deprecated, reason = "std still has them")]
fn functions_have_stds_types() {
    let _: fn() -> io::Result<NonZero<usize>> = thread::available_parallelism;
    let _: fn() -> thread::Thread = thread::current;
    let _: fn() -> bool = thread::panicking;
    let _: fn() = thread::park;
    let _: fn(Duration) = thread::park_timeout;
    let _: fn(u32) = thread::park_timeout_ms;
    let _: fn(Duration) = thread::sleep;
    let _: fn(u32) = thread::sleep_ms;
    let _: fn() = thread::yield_now;
    let _: fn(Work) -> thread::JoinHandle<u8> = thread::spawn::<Work, u8>;
    fn scope<'env, F, T>(f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope thread::Scope<'scope, 'env>) -> T,
    {
        thread::scope(f)
    }
    assert_eq!(scope(|_| 7), 7);
}

#[test]
fn methods_have_stds_types() {
    let _: fn() -> thread::Builder = thread::Builder::new;
    let _: fn(thread::Builder, String) -> thread::Builder = thread::Builder::name;
    let _: fn(thread::Builder, usize) -> thread::Builder = thread::Builder::stack_size;
    let _: fn(thread::Builder, Work) -> io::Result<thread::JoinHandle<u8>> =
        thread::Builder::spawn::<Work, u8>;
    #[allow(unsafe_code, reason = "names a function")]
    let _: unsafe fn(thread::Builder, Work) -> io::Result<thread::JoinHandle<u8>> =
        thread::Builder::spawn_unchecked::<Work, u8>;

    let _: fn(thread::JoinHandle<u8>) -> thread::Result<u8> = thread::JoinHandle::join;
    let _: fn(&thread::JoinHandle<u8>) -> &thread::Thread = thread::JoinHandle::thread;
    let _: fn(&thread::JoinHandle<u8>) -> bool = thread::JoinHandle::is_finished;
    let _: fn(&thread::JoinHandle<u8>) -> RawPthread = thread::JoinHandle::as_pthread_t;
    let _: fn(thread::JoinHandle<u8>) -> RawPthread = thread::JoinHandle::into_pthread_t;

    let _: fn(&thread::Thread) = thread::Thread::unpark;
    let _: fn(&thread::Thread) -> thread::ThreadId = thread::Thread::id;
    let _: fn(&thread::Thread) -> Option<&str> = thread::Thread::name;

    let _: fn(&'static thread::LocalKey<Cell<u8>>, u8) = thread::LocalKey::<Cell<u8>>::set;
    let _: fn(&'static thread::LocalKey<Cell<u8>>) -> u8 = thread::LocalKey::<Cell<u8>>::get;
    let _: fn(&'static thread::LocalKey<Cell<u8>>) -> u8 = thread::LocalKey::<Cell<u8>>::take;
    let _: fn(&'static thread::LocalKey<Cell<u8>>, u8) -> u8 =
        thread::LocalKey::<Cell<u8>>::replace;
    let _: fn(&'static thread::LocalKey<RefCell<u8>>, u8) = thread::LocalKey::<RefCell<u8>>::set;
    let _: fn(&'static thread::LocalKey<RefCell<u8>>) -> u8 = thread::LocalKey::<RefCell<u8>>::take;
    let _: fn(&'static thread::LocalKey<RefCell<u8>>, u8) -> u8 =
        thread::LocalKey::<RefCell<u8>>::replace;
    thread_local!(static KEY: RefCell<u8> = const { RefCell::new(1) });
    let key: &'static thread::LocalKey<RefCell<u8>> = &KEY;
    key.with_borrow_mut(|value| *value += 1);
    assert_eq!(key.with_borrow(|value| *value), 2);
    assert_eq!(key.with(|value| *value.borrow()), 2);
    let tried: Result<u8, thread::AccessError> = key.try_with(|value| *value.borrow());
    assert_eq!(tried, Ok(2));
}

#[test]
fn scoped_methods_have_stds_types() {
    fn scoped<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> io::Result<thread::ScopedJoinHandle<'scope, u8>> {
        let builder = thread::Builder::new();
        builder.spawn_scoped::<Work, u8>(scope, || 7)
    }
    thread::scope(|scope| {
        let handle: thread::ScopedJoinHandle<'_, u8> = scope.spawn::<Work, u8>(|| 7);
        let _: &thread::Thread = thread::ScopedJoinHandle::thread(&handle);
        let _: bool = thread::ScopedJoinHandle::is_finished(&handle);
        let result: thread::Result<u8> = thread::ScopedJoinHandle::join(handle);
        assert_eq!(result.unwrap(), 7);
        assert_eq!(scoped(scope).unwrap().join().unwrap(), 7);
    });
}

/// What implements what: all that std's page of each type has, but for the compiler's own traits.
#[test]
fn types_implement_what_stds_do() {
    fn send_and_sync<T: Send + Sync + Unpin>() {}
    fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
    fn debug<T: Debug>() {}
    /// What is neither `Send` nor `Sync` nor unwind-safe.
    type Local = *const Cell<u8>;

    send_and_sync::<thread::AccessError>();
    unwind_safe::<thread::AccessError>();
    fn error<T: Copy + Eq + Debug + Display + std::error::Error>() {}
    error::<thread::AccessError>();

    send_and_sync::<thread::Builder>();
    unwind_safe::<thread::Builder>();
    debug::<thread::Builder>();

    send_and_sync::<thread::JoinHandle<Local>>();
    debug::<thread::JoinHandle<Local>>();
    fn pthread<T: JoinHandleExt>() {}
    pthread::<thread::JoinHandle<Local>>();

    send_and_sync::<thread::LocalKey<Local>>();
    unwind_safe::<thread::LocalKey<Local>>();
    debug::<thread::LocalKey<Local>>();

    fn ref_unwind_safe<T: RefUnwindSafe>() {}
    send_and_sync::<thread::Scope<'static, 'static>>();
    ref_unwind_safe::<thread::Scope<'static, 'static>>();
    debug::<thread::Scope<'static, 'static>>();

    send_and_sync::<thread::ScopedJoinHandle<'static, Cell<u8>>>();
    debug::<thread::ScopedJoinHandle<'static, Local>>();

    send_and_sync::<thread::Thread>();
    unwind_safe::<thread::Thread>();
    fn cloned<T: Clone + Debug>() {}
    cloned::<thread::Thread>();

    send_and_sync::<thread::ThreadId>();
    unwind_safe::<thread::ThreadId>();
    fn id<T: Copy + Eq + Hash + Debug>() {}
    id::<thread::ThreadId>();
    assert_eq!(size_of::<Option<thread::ThreadId>>(), size_of::<u64>());
}

/// Programs parse these, and print them in logs.
#[test]
fn debug_formats_that_programs_see_are_alike() {
    let thread = thread::Builder::new()
        .name("shown".into())
        .spawn(thread::current)
        .unwrap()
        .join()
        .unwrap();
    let id = format!("{:?}", thread.id());
    let number = id.strip_prefix("ThreadId(").unwrap();
    let number = number.strip_suffix(')').unwrap();
    assert!(number.parse::<u64>().is_ok_and(|number| number > 1), "{id}");
    let expected = format!("Thread {{ id: {id}, name: Some(\"shown\"), .. }}");
    assert_eq!(format!("{thread:?}"), expected);
}
