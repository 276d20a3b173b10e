//! The bare clone, a lower bound: the least that a kernel thread can cost.
//!
//! One bare `clone` on a stack that was mapped before, without thread pointer; the thread's first
//! and only act is `exit`; the joiner sleeps on the word that the kernel clears. No library that
//! makes a kernel thread per spawn can be cheaper, except by not sleeping in the join.
#![allow(unsafe_code, reason = "makes a thread by a bare system call")]

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bare_clone::clone_and_exit;
use super::contenders::Contender;

/// Stacks that were used before, and those of running threads, oldest first.
#[derive(Default)]
pub(crate) struct BareClone {
    idle: Vec<Prepared>,
    running: VecDeque<Prepared>,
}

/// A stack and the word that the kernel clears; both are left behind at the end.
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

impl Contender for BareClone {
    fn name(&self) -> &'static str {
        "floor"
    }

    /// The thread runs nothing: `work` must have nothing to do.
    fn spawn(&mut self, _work: fn()) {
        let prepared = self.idle.pop().unwrap_or_else(Prepared::new);
        prepared.word.store(1, Ordering::Relaxed);
        // SAFETY: the stack is unused, the word is never freed.
        let tid = unsafe { clone_and_exit(prepared.stack_top, prepared.word.as_ptr()) };
        assert!(tid > 0, "clone: {tid}");
        self.running.push_back(prepared);
    }

    fn join(&mut self) {
        let prepared = self.running.pop_front().expect("a thread to join");
        while prepared.word.load(Ordering::Acquire) != 0 {
            // Not private: the kernel's own wake is a shared one.
            // SAFETY: waits on a word that is never freed.
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
