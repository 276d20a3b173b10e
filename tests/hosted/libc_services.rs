//! Services of libc that use threads, processes or the loader behind the scenes.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::common::poll_until;
use crate::util::on_raw;

#[test]
fn localhost_has_an_address() {
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program needs the libraries of its very glibc for names");
        return;
    }
    for _ in 0..5 {
        on_raw(|| {
            let mut found = std::ptr::null_mut();
            // SAFETY: the list is freed once, and only looked at.
            unsafe {
                let name = c"localhost".as_ptr();
                let returned =
                    libc::getaddrinfo(name, std::ptr::null(), std::ptr::null(), &mut found);
                assert_eq!(
                    returned,
                    0,
                    "{:?}",
                    CStr::from_ptr(libc::gai_strerror(returned))
                );
                assert!([libc::AF_INET, libc::AF_INET6].contains(&(*found).ai_family));
                libc::freeaddrinfo(found);
            }
        });
    }
}

#[test]
fn programs_are_run() {
    for _ in 0..3 {
        on_raw(|| {
            // SAFETY: the commands are constants.
            unsafe {
                assert_eq!(libc::WEXITSTATUS(libc::system(c"exit 5".as_ptr())), 5);
                let pipe = libc::popen(c"echo said".as_ptr(), c"r".as_ptr());
                assert!(!pipe.is_null());
                let mut line = [0; 16];
                assert!(!libc::fgets(line.as_mut_ptr(), 16, pipe).is_null());
                assert_eq!(CStr::from_ptr(line.as_ptr()), c"said\n");
                assert_eq!(libc::pclose(pipe), 0);
                let mut pid = 0;
                let arguments = [
                    c"sh".as_ptr().cast_mut(),
                    c"-c".as_ptr().cast_mut(),
                    c"exit 6".as_ptr().cast_mut(),
                    std::ptr::null_mut(),
                ];
                let spawned = libc::posix_spawn(
                    &mut pid,
                    c"/bin/sh".as_ptr(),
                    std::ptr::null(),
                    std::ptr::null(),
                    arguments.as_ptr(),
                    [std::ptr::null_mut()].as_ptr(),
                );
                assert_eq!(spawned, 0);
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
                assert_eq!(libc::WEXITSTATUS(status), 6);
            }
            let output = std::process::Command::new("true").output().unwrap();
            assert!(output.status.success());
        });
    }
}

#[test]
fn a_timer_may_run_a_function_on_a_thread() {
    static FIRED: AtomicI32 = AtomicI32::new(0);
    extern "C" fn fire(value: libc::sigval) {
        FIRED.fetch_add(value.sival_ptr.addr() as i32, Ordering::Relaxed);
    }
    /// `struct sigevent` with the members of SIGEV_THREAD (sigevent(3type)).
    #[repr(C)]
    struct Event {
        value: libc::sigval,
        signal: i32,
        notify: i32,
        function: extern "C" fn(libc::sigval),
        attributes: *mut libc::pthread_attr_t,
        rest: [u64; 4],
    }
    const { assert!(size_of::<Event>() == size_of::<libc::sigevent>()) };
    // The timer outlives the thread that made it.
    on_raw(|| {
        let mut event = Event {
            value: libc::sigval {
                sival_ptr: std::ptr::without_provenance_mut(7),
            },
            signal: 0,
            notify: libc::SIGEV_THREAD,
            function: fire,
            attributes: std::ptr::null_mut(),
            rest: [0; 4],
        };
        // SAFETY: the event is laid out as libc's; the timer fires once.
        unsafe {
            let mut timer = std::mem::zeroed();
            let clock = libc::CLOCK_MONOTONIC;
            let made = libc::timer_create(clock, (&raw mut event).cast(), &mut timer);
            assert_eq!(made, 0);
            let mut time: libc::itimerspec = std::mem::zeroed();
            time.it_value.tv_nsec = 1_000_000;
            assert_eq!(
                libc::timer_settime(timer, 0, &time, std::ptr::null_mut()),
                0
            );
        }
    });
    poll_until("the timer fires", || FIRED.load(Ordering::Relaxed) == 7);
}

#[test]
fn backtraces_end_at_the_threads_first_frame() {
    for _ in 0..5 {
        let rust = on_raw(|| std::backtrace::Backtrace::force_capture().to_string());
        assert!(
            rust.contains("backtraces_end_at_the_threads_first_frame"),
            "{rust}"
        );
    }
}

#[cfg(target_env = "gnu")]
#[test]
fn backtraces_of_libc_end_at_the_threads_first_frame() {
    for _ in 0..5 {
        let count = on_raw(|| {
            let mut frames = [std::ptr::null_mut(); 200];
            // SAFETY: the places are writable.
            unsafe { libc::backtrace(frames.as_mut_ptr(), 200) }
        });
        assert!((2..200).contains(&count), "{count} frames");
    }
}

#[test]
fn std_prints_locks_and_sends() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let total = std::sync::Arc::new(std::sync::Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|index| {
            let (sender, total) = (sender.clone(), total.clone());
            rawthread::spawn(move || {
                println!("thread {index}");
                *total.lock().unwrap() += index;
                sender.send(std::thread::current().id()).unwrap();
            })
        })
        .collect();
    drop(sender);
    let ids: std::collections::HashSet<_> = receiver.into_iter().collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!((*total.lock().unwrap(), ids.len()), (28, 8));
}
