//! Garbage collectors and stack checks believe what pthread_getattr_np says of a thread's stack.

use std::mem::MaybeUninit;
use std::ptr;

use rawthread::Builder;

use super::common::{MUSL, in_subprocess, poll_until, stack_pointer};
use super::support;

/// Lowest address and length of the calling thread's stack, as libc tells them.
fn told() -> (usize, usize) {
    let mut attributes = MaybeUninit::uninit();
    let (mut low, mut len) = (ptr::null_mut(), 0);
    unsafe {
        let own = libc::pthread_self();
        assert_eq!(libc::pthread_getattr_np(own, attributes.as_mut_ptr()), 0);
        let mut attributes = attributes.assume_init();
        libc::pthread_attr_getstack(&attributes, &mut low, &mut len);
        libc::pthread_attr_destroy(&mut attributes);
    }
    (low as usize, len)
}

/// Whether that is the memory; musl tells it without the control block that it lays out there.
fn is_told((low, len): (usize, usize), memory: (usize, usize)) -> bool {
    let most = if MUSL { 4096 } else { 0 };
    low == memory.0 && (memory.1 - most..=memory.1).contains(&len)
}

#[test]
fn a_stack_of_the_callers_own_is_what_libc_tells() {
    if !in_subprocess("own_stack::a_stack_of_the_callers_own_is_what_libc_tells") {
        return;
    }
    for round in 0..50 {
        let len = (64 + round) * 1024;
        let mut memory = vec![0u8; len];
        let low = memory.as_mut_ptr();
        // SAFETY: no other code uses the vector until the join.
        let builder = unsafe { Builder::new().stack(low, len) };
        let own = match builder.try_spawn(told) {
            Ok(thread) => thread.join().unwrap(),
            Err(error) if error.kind() == rawthread::ErrorKind::Unsupported => {
                println!("SKIP: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(is_told(own, (low as usize, len)), "{own:x?}");
        drop(memory);
        // The next threads on the same control block are told of the stack they stand on.
        let others: Vec<_> = (0..3)
            .map(|_| {
                let small = Builder::new().stack_size(16 * 1024);
                small.spawn(|| (told(), stack_pointer())).unwrap()
            })
            .collect();
        for other in others {
            let ((base, size), frame) = other.join().unwrap();
            assert!((base..base + size).contains(&frame), "round {round}");
            assert_ne!((base, size), own);
        }
    }
    // libc ends the threads that it made by what it knows of their stacks.
    rawthread::trim();
    rawthread::spawn(|| ()).join().unwrap();
}

#[test]
fn a_thread_that_failed_or_was_detached_leaves_the_control_block_as_it_was() {
    if !in_subprocess(
        "own_stack::a_thread_that_failed_or_was_detached_leaves_the_control_block_as_it_was",
    ) {
        return;
    }
    // The control block lies on the stack itself.
    if support::by_libc() {
        return;
    }
    static MEMORY: std::sync::Mutex<[u8; 128 * 1024]> = std::sync::Mutex::new([0; 128 * 1024]);
    let mut memory = MEMORY.lock().unwrap();
    let (low, len) = (memory.as_mut_ptr(), memory.len());
    let builder = || unsafe { Builder::new().stack(low, len) };
    let check = || {
        for _ in 0..3 {
            let small = Builder::new().stack_size(16 * 1024);
            let ((base, size), frame) = small
                .spawn(|| (told(), stack_pointer()))
                .unwrap()
                .join()
                .unwrap();
            assert!((base..base + size).contains(&frame));
        }
    };
    for _ in 0..10 {
        let refusal = || Err(rawthread::Error::from_raw_os_error(libc::EPERM));
        assert!(builder().before_start(refusal).spawn(|| ()).is_err());
        check();
        let (send, receive) = std::sync::mpsc::channel();
        drop(builder().spawn(move || send.send((told(), unsafe { libc::gettid() }))));
        let Ok((own, tid)) = receive.recv() else {
            println!("SKIP: no stacks of the caller's own here");
            return;
        };
        assert!(is_told(own, (low as usize, len)), "{own:x?}");
        // It still stands there for a moment.
        poll_until("the detached thread ends", || {
            !std::path::Path::new(&format!("/proc/self/task/{tid}")).exists()
        });
        check();
    }
}
