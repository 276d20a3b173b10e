//! Threads that another library made: their first `current` and `park`.

use std::sync::atomic::{AtomicI32, AtomicIsize, Ordering::SeqCst};
use std::time::Duration;

use crate::common;
use crate::{BYTES, LEFT, limited};

/// A pthread that runs a function: it takes no memory of Rust's.
struct Pthread(libc::pthread_t);

impl Pthread {
    fn new(main: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void) -> Self {
        let mut thread = 0;
        // SAFETY: a thread that uses statics alone, and is joined.
        let made = unsafe {
            libc::pthread_create(&mut thread, std::ptr::null(), main, std::ptr::null_mut())
        };
        assert_eq!(made, 0);
        Self(thread)
    }

    fn join(self) {
        // SAFETY: once.
        let joined = unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
        assert_eq!(joined, 0);
    }
}

/// 1: the thread may ask. 2: it has its handle and has parked.
static STAGE: AtomicI32 = AtomicI32::new(0);

extern "C" fn asks_for_its_handle(_: *mut libc::c_void) -> *mut libc::c_void {
    while STAGE.load(SeqCst) != 1 {
        rawthread::yield_now();
    }
    let thread = rawthread::current();
    assert_eq!(thread.id(), rawthread::current().id());
    thread.unpark();
    rawthread::park();
    rawthread::park_timeout(Duration::from_micros(1));
    STAGE.store(2, SeqCst);
    std::ptr::null_mut()
}

extern "C" fn only_parks(_: *mut libc::c_void) -> *mut libc::c_void {
    while STAGE.load(SeqCst) != 1 {
        rawthread::yield_now();
    }
    rawthread::park_timeout(Duration::from_micros(1));
    STAGE.store(2, SeqCst);
    std::ptr::null_mut()
}

/// What is refused: requests, then bytes, of which each is a possible end of memory, but for what another
/// thread would take meanwhile.
fn limits() -> Vec<(&'static AtomicIsize, isize)> {
    let mut limits = vec![(&LEFT, 0)];
    limits.extend((0..6000).step_by(48).map(|n| (&BYTES, n)));
    limits.extend(limits_of_libc());
    limits
}

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
fn limits_of_libc() -> Vec<(&'static AtomicIsize, isize)> {
    use crate::of_libc::{BYTES, REQUESTS};
    let mut limits = vec![(&REQUESTS, 0)];
    limits.extend((0..10_000).step_by(16).map(|n| (&BYTES, n)));
    limits
}

#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
fn limits_of_libc() -> Vec<(&'static AtomicIsize, isize)> {
    println!("SKIP: not glibc as a library: its allocator cannot be replaced");
    Vec::new()
}

/// std has a handle of no such thread yet, and cannot be asked for one without memory.
fn sweep(main: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void) {
    for (limit, granted) in limits() {
        STAGE.store(0, SeqCst);
        let thread = Pthread::new(main);
        limited(limit, granted, || {
            STAGE.store(1, SeqCst);
            while STAGE.load(SeqCst) != 2 {
                rawthread::yield_now();
            }
        });
        thread.join();
    }
}

#[test]
fn a_first_current_of_a_pthread_needs_no_memory() {
    if common::in_subprocess("other_threads::a_first_current_of_a_pthread_needs_no_memory") {
        sweep(asks_for_its_handle);
    }
}

#[test]
fn a_first_park_of_a_pthread_needs_no_memory() {
    if common::in_subprocess("other_threads::a_first_park_of_a_pthread_needs_no_memory") {
        sweep(only_parks);
    }
}
