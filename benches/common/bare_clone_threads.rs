//! Threads by a bare clone: the least that a kernel thread can cost.
//!
//! One `clone` onto a stack that is already mapped, without a thread pointer. The thread calls `exit`
//! at once, and the joiner sleeps on the word that the kernel clears. A library that makes a kernel
//! thread per spawn can be cheaper only by not sleeping in the join.
//!
//! `lab bench` uses this file and `bare_clone.rs` too, by symbolic links.
#![allow(unsafe_code, reason = "makes a thread by a bare system call")]

use std::collections::VecDeque;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bare_clone::clone_and_exit;

/// Stacks without a thread, and those of running threads, oldest first.
#[derive(Default)]
pub(crate) struct BareClone {
    idle: Vec<Prepared>,
    running: VecDeque<Prepared>,
}

/// A stack and the word that the kernel clears. Both are leaked.
struct Prepared {
    stack_top: *mut u8,
    word: &'static AtomicU32,
}

const STACK_SIZE: usize = 2 << 20;

impl Prepared {
    fn new() -> Self {
        // SAFETY: a new private mapping.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "mmap");
        Self {
            stack_top: base.cast::<u8>().wrapping_add(STACK_SIZE),
            word: Box::leak(Box::new(AtomicU32::new(0))),
        }
    }
}

impl BareClone {
    /// Makes a thread that exits at once.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn spawn(&mut self) -> io::Result<()> {
        let prepared = self.idle.pop().unwrap_or_else(Prepared::new);
        prepared.word.store(1, Ordering::Relaxed);
        // SAFETY: a stack of `idle` has no thread; the word is leaked, so it outlives the thread.
        let tid = unsafe { clone_and_exit(prepared.stack_top, prepared.word.as_ptr()) };
        if tid < 0 {
            prepared.word.store(0, Ordering::Relaxed);
            self.idle.push(prepared);
            return Err(io::Error::from_raw_os_error(-tid as i32));
        }
        self.running.push_back(prepared);
        Ok(())
    }

    /// Waits until the oldest thread has left its stack.
    pub(crate) fn join(&mut self) {
        let prepared = self.running.pop_front().expect("a thread to join");
        while prepared.word.load(Ordering::Acquire) != 0 {
            // Not private: the kernel's own wake is a shared one.
            // SAFETY: the word is leaked, so it is valid.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    prepared.word.as_ptr(),
                    libc::FUTEX_WAIT,
                    1,
                    ptr::null::<libc::timespec>(),
                );
            }
        }
        self.idle.push(prepared);
    }
}
