//! A thread's end waits for nothing that user code may hold.
//!
//! Threads asked the loader for its modules at their end, under the loader's lock, and forks kept
//! them from it. A thread that was joined by the holder of either waited for the joiner, and the
//! joiner for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::common;

/// Calls `visit` inside of `dl_iterate_phdr`, once.
fn in_a_visitor<F: FnMut()>(mut visit: F) {
    unsafe extern "C" fn call<F: FnMut()>(
        _: *mut libc::dl_phdr_info,
        _: usize,
        data: *mut libc::c_void,
    ) -> i32 {
        // SAFETY: the data is `visit` below.
        unsafe { (*data.cast::<F>())() };
        1
    }
    // SAFETY: the visitor gets what it takes.
    unsafe { libc::dl_iterate_phdr(Some(call::<F>), (&raw mut visit).cast()) };
}

/// A child of a fork that makes threads and opens a library, and whether that went well.
fn forked_child_is_well() -> bool {
    match unsafe { libc::fork() } {
        0 => {
            unsafe { libc::alarm(20) };
            let sum: i32 = (0..4)
                .map(|n| rawthread::spawn(move || n).join().unwrap())
                .sum();
            unsafe { libc::_exit(i32::from(sum != 6)) }
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => {
            let mut status = -1;
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            status == 0
        }
    }
}

#[test]
fn a_visitor_of_the_loaders_modules_may_join_threads() {
    if !common::in_subprocess("ending::a_visitor_of_the_loaders_modules_may_join_threads") {
        return;
    }
    common::watchdog(60);
    // What the first thread of a process needs to know is asked there.
    rawthread::spawn(|| ()).join().unwrap();
    let thread = rawthread::spawn(rawthread::park);
    let mut sum = 0;
    in_a_visitor(|| {
        thread.thread().unpark();
        for n in 0..8 {
            sum += rawthread::spawn(move || n).join().unwrap();
        }
        while !thread.is_finished() {
            rawthread::yield_now();
        }
    });
    thread.join().unwrap();
    assert_eq!(sum, 28);
}

#[test]
fn a_visitor_of_the_loaders_modules_may_fork_beside_threads() {
    if !common::in_subprocess("ending::a_visitor_of_the_loaders_modules_may_fork_beside_threads") {
        return;
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    common::watchdog(120);
    // What the first thread of a process needs to know is asked there.
    rawthread::spawn(|| ()).join().unwrap();
    let threads = [(); 3].map(|()| {
        std::thread::spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                rawthread::spawn(|| ()).join().unwrap();
            }
        })
    });
    for _ in 0..50 {
        in_a_visitor(|| assert!(forked_child_is_well()));
    }
    STOP.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A program's handlers run between ours: those registered before ours, after them.
#[test]
fn a_fork_handler_may_join_threads() {
    if !common::in_subprocess("ending::a_fork_handler_may_join_threads") {
        return;
    }
    static JOINED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn before() {
        static ONCE: AtomicBool = AtomicBool::new(false);
        if !ONCE.swap(true, Ordering::Relaxed) {
            for _ in 0..4 {
                rawthread::spawn(|| ()).join().unwrap();
                JOINED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    common::watchdog(60);
    assert_eq!(unsafe { libc::pthread_atfork(Some(before), None, None) }, 0);
    rawthread::spawn(|| ()).join().unwrap();
    assert!(forked_child_is_well());
    assert_eq!(JOINED.load(Ordering::Relaxed), 4);
}
