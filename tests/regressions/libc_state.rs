//! What a program can see of libc's own thread-locals: the next thread on a slot finds what a new
//! pthread finds.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::common::in_subprocess;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
    fn __res_state() -> *mut c_void;
    fn __res_init() -> c_int;
    fn dlerror() -> *const c_char;
}

/// Bytes of glibc's `struct __res_state`.
const RESOLVER: usize = 568;

/// Everything of the calling thread's.
fn look() -> (Option<String>, c_int, Vec<u8>) {
    unsafe {
        let error = dlerror();
        let error = (!error.is_null()).then(|| CStr::from_ptr(error).to_string_lossy().into());
        let resolver = if cfg!(target_env = "gnu") {
            std::slice::from_raw_parts(__res_state().cast::<u8>(), RESOLVER).to_vec()
        } else {
            Vec::new()
        };
        (error, *__h_errno_location(), resolver)
    }
}

/// Leaves something in all of it; `open`: the resolver is opened, too.
fn leave_traces(open: bool) {
    unsafe {
        // Two errors: one that was told and one that was not.
        for _ in 0..2 {
            assert!(libc::dlopen(c"/no/such/library.so".as_ptr(), libc::RTLD_NOW).is_null());
        }
        *__h_errno_location() = 3;
        if cfg!(target_env = "gnu") {
            if open {
                assert_eq!(__res_init(), 0);
            }
            // retrans, the first word.
            *__res_state().cast::<c_int>() = 77;
        }
    }
}

#[test]
fn the_next_thread_finds_what_a_new_pthread_finds() {
    if !in_subprocess("libc_state::the_next_thread_finds_what_a_new_pthread_finds") {
        return;
    }
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program loads no libraries");
        return;
    }
    let new = std::thread::spawn(look).join().unwrap();
    assert_eq!((&new.0, new.1), (&None, 0));
    let on_thread = |body: fn()| rawthread::spawn(body).join().unwrap();
    let on_warm = |body: fn()| rawthread::warm::spawn(body).join().unwrap();
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open_files();
    for round in 0..6 {
        let traces: fn() = if round % 2 == 0 {
            || leave_traces(false)
        } else {
            || leave_traces(true)
        };
        on_thread(traces);
        assert_eq!(rawthread::spawn(look).join().unwrap(), new, "{round}");
        on_warm(traces);
        let warm = rawthread::warm::spawn(look).join().unwrap();
        assert_eq!(warm, new, "warm, {round}");
    }
    // What was never opened holds zeroes, and 0 is standard input.
    assert_eq!(open_files(), before);
}
