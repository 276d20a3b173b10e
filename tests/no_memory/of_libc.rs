//! libc's own allocator refuses: what pthread_create, thread-locals, keys and std's handles are made of.

use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};

use rawthread::{Builder, warm};

use crate::{common, is_main, joined, limited, take};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(place: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(place: *mut c_void);
    fn malloc_usable_size(place: *mut c_void) -> usize;
}

/// How many requests are granted yet; `isize::MAX`: all.
pub(crate) static REQUESTS: AtomicIsize = AtomicIsize::new(isize::MAX);

/// How many bytes are granted yet beyond those that are used; `isize::MAX`: all.
pub(crate) static BYTES: AtomicIsize = AtomicIsize::new(isize::MAX);

/// What `allocate` returns, or null.
fn granted(allocate: impl FnOnce() -> *mut c_void) -> *mut c_void {
    let is_free = REQUESTS.load(SeqCst) == isize::MAX && BYTES.load(SeqCst) == isize::MAX;
    if is_free || is_main() {
        return allocate();
    }
    if take(&REQUESTS, 1) {
        let place = allocate();
        // SAFETY: null, or from the allocator just now.
        if take(&BYTES, unsafe { malloc_usable_size(place) } as isize) {
            return place;
        }
        // SAFETY: as above.
        unsafe { __libc_free(place) };
    }
    crate::REFUSED.store(true, SeqCst);
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() = libc::ENOMEM };
    std::ptr::null_mut()
}

// The program's allocator, in libc's place: libc's does the work.

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    granted(|| unsafe { __libc_malloc(size) })
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: as above.
    granted(|| unsafe { __libc_calloc(count, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(place: *mut c_void, size: usize) -> *mut c_void {
    // Not refused: the old place would have to be kept.
    // SAFETY: passed on.
    unsafe { __libc_realloc(place, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(place: *mut c_void) {
    // SAFETY: passed on.
    unsafe {
        take(&BYTES, -(malloc_usable_size(place) as isize));
        __libc_free(place);
    }
}

/// Grants 0 requests of libc's, 1, and so on until none is refused.
fn sweep(name: &str, attempt: impl Fn() -> Result<(), rawthread::Error>) {
    for requests in 0..1000 {
        eprintln!("{name}, {requests} granted");
        let (refused, answer) = limited(&REQUESTS, requests, &attempt);
        match answer {
            Ok(()) if refused => {}
            Ok(()) => return,
            Err(error) => {
                assert!(refused, "{error}");
                // pthread_create has one errno for want of memory and of anything else.
                let errno = error.raw_os_error();
                assert!(
                    matches!(errno, Some(libc::ENOMEM | libc::EAGAIN)),
                    "{error}"
                );
            }
        }
    }
    panic!("{name} asks for too much");
}

/// Keys beyond the first 32 lie in memory of their own.
fn use_up_first_keys() {
    for _ in 0..40 {
        let mut key = 0;
        // SAFETY: a key that is never used.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, None) }, 0);
    }
}

fn spawn() -> Result<(), rawthread::Error> {
    Builder::new().try_spawn(|| 1).map(joined).map(drop)
}

/// Parks until it has a token: a thread that could not remember its record would wait for another's.
fn wait_for_token() {
    let start = std::time::Instant::now();
    rawthread::park_timeout(std::time::Duration::from_secs(30));
    assert!(start.elapsed() < std::time::Duration::from_secs(30));
}

/// A thread on a new stack: libc makes its control block.
fn spawn_on_new_stack() -> Result<(), rawthread::Error> {
    rawthread::trim();
    spawn()
}

/// How well libc is served, as a process finds it out that has memory.
fn support_in_child() -> i32 {
    // SAFETY: the child makes one thread and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(rawthread::host().map_or(-1, |host| host.support() as i32));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        libc::WEXITSTATUS(status)
    }
}

fn all() {
    common::watchdog(100);
    // A child looks with memory enough.
    let known = support_in_child();
    sweep("the first spawn", spawn);
    let host = rawthread::host().unwrap();
    assert_eq!(
        host.support() as i32,
        known,
        "want of memory decided: {host}"
    );
    // std's handle of a thread is asked for while its key is not known, and where there is memory enough at
    // that moment: a request for itself cannot be the one that is refused.
    rawthread::spawn(|| drop(rawthread::current()))
        .join()
        .unwrap();
    sweep("a new stack", spawn_on_new_stack);
    sweep("spawn", spawn);
    sweep("two at once", || {
        let first = Builder::new().try_spawn(wait_for_token)?;
        let second = Builder::new().try_spawn(wait_for_token);
        for thread in [Ok(first), second] {
            let thread = thread?;
            thread.thread().unpark();
            joined(thread);
        }
        Ok(())
    });
    sweep("warm", || warm::try_spawn(|| 1).map(joined).map(drop));
    rawthread::trim();
    sweep("warm", || {
        rawthread::trim();
        warm::try_spawn(|| 1).map(joined).map(drop)
    });
    sweep("reserve", || {
        rawthread::trim();
        rawthread::reserve(3)
    });
    let memory = vec![0_u64; 16 << 10].leak().as_mut_ptr();
    sweep("own memory", || {
        // SAFETY: the memory is the thread's, which is joined before there is another.
        let builder = unsafe { Builder::new().stack(memory.cast(), 128 << 10) };
        builder.try_spawn(|| 1).map(joined).map(drop)
    });
}

#[test]
fn a_spawn_is_an_error_where_libc_has_no_memory() {
    if common::in_subprocess("of_libc::a_spawn_is_an_error_where_libc_has_no_memory") {
        all();
    }
}

#[test]
fn a_spawn_is_an_error_where_libc_has_no_memory_for_keys() {
    if common::in_subprocess("of_libc::a_spawn_is_an_error_where_libc_has_no_memory_for_keys") {
        use_up_first_keys();
        all();
    }
}
