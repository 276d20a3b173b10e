//! What a scope and its threads share: the count of threads that the scope waits for.
#![allow(
    unsafe_code,
    reason = "touches memory that may go with the last decrement"
)]

use core::sync::atomic::compiler_fence;

use super::result::Result;
use super::spin;
use crate::primitive::atomic::{AtomicU32, Ordering};
use crate::primitive::futex;
use crate::runtime::{Rt, Runtime};
use crate::sys::sched;
use crate::thread::backoff::SpinWait;

/// What a scope knows of its threads. It lies on the stack of [`scope`](crate::scope), so nothing
/// of it may be touched once its last thread has decremented the count.
///
/// `running`:
///
/// | value | meaning |
/// |---|---|
/// | `n` | `n` threads of the scope are not done yet; the scope is awake |
/// | `WAITING + n` | the scope sleeps, or is about to, until the last of `n` threads is done |
/// | `WAITING` | the last thread is done and is waking the scope |
///
/// Invariants:
/// * SCOPE-1: The scope's closure or a thread of the scope increments the count, so the count is
///   above 0, or the scope is not yet waiting, whenever it is incremented.
/// * SCOPE-2: A thread decrements the count once, after its result was dropped or left to a handle,
///   which cannot outlive the scope.
/// * SCOPE-3: A thread was counted in the process in which it was made: no code of the program but a
///   signal handler runs between the count and the clone, and where a handler forked there, the child
///   makes no thread, or waits for the one that it made.
///
/// Orderings: a decrement is a Release and the scope's load an Acquire, with only
/// read-modify-writes between: all that every thread did happens before the scope ends.
#[derive(Debug)]
pub(crate) struct ScopeData {
    running: AtomicU32,
    /// The process, by [`Runtime::fork_generation`], whose threads `running` counts; `CHANGING`
    /// while a thread of a forked child starts the count anew. Not among what the models run: there
    /// is no fork.
    process: core::sync::atomic::AtomicU32,
    /// Panics whose payload no join has taken.
    unhandled_panics: AtomicU32,
}

/// More forks than can lie between two processes.
const CHANGING: u32 = u32::MAX;

/// Far above the kernel's highest possible number of threads, 2^22.
const WAITING: u32 = 1 << 31;

impl ScopeData {
    pub(crate) fn new() -> Self {
        Self {
            running: AtomicU32::new(0),
            process: core::sync::atomic::AtomicU32::new(Rt::fork_generation()),
            unhandled_panics: AtomicU32::new(0),
        }
    }

    /// Spawner: one more thread, of the process that is returned. Relaxed by SCOPE-1.
    pub(crate) fn increment(&self) -> u32 {
        loop {
            let process = self.after_fork();
            self.running.fetch_add(1, Ordering::Relaxed);
            // A signal handler that forked since has left the count to the parent.
            compiler_fence(Ordering::SeqCst);
            if process == Rt::fork_generation() {
                return process;
            }
        }
    }

    /// Forgets the threads of a process that this one was forked from, and returns this one.
    ///
    /// Release and Acquire: the count is 0 before a second thread increments it.
    fn after_fork(&self) -> u32 {
        let process = Rt::fork_generation();
        let mut seen = self.process.load(Ordering::Acquire);
        let mut pause = SpinWait::new();
        while seen != process {
            let changed = seen != CHANGING
                && self
                    .process
                    .compare_exchange(seen, CHANGING, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if changed {
                self.running.store(0, Ordering::Relaxed);
                self.process.store(process, Ordering::Release);
            } else if !pause.spin() {
                // The other thread may need this processor, at a lower priority.
                sched::sleep_nanos(50_000);
            }
            seen = self.process.load(Ordering::Acquire);
        }
        process
    }

    /// Thread, or the spawner of one that could not be made: one thread less.
    ///
    /// Takes an address, for the scope may be gone as soon as the count is 0. The wake touches no
    /// memory. By then the address may be reused; the spurious wake is harmless, for every user of
    /// a futex looks at its word again.
    ///
    /// # Safety
    /// The scope lives, and the count that the caller takes away was added for it.
    pub(crate) unsafe fn decrement(this: *const Self) {
        // SAFETY: alive until the subtraction by the contract; only the address is used after.
        let running = unsafe { &raw const (*this).running };
        // SAFETY: as above.
        let before = unsafe { (*running).fetch_sub(1, Ordering::Release) };
        if before == WAITING | 1 {
            futex::wake_one(running);
        }
    }

    /// Thread: panicked. Relaxed: the joiner, or the scope, learns of it after this thread is done.
    pub(in crate::thread) fn panicked(&self) {
        self.unhandled_panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Joiner: took this result, and with it the payload of a panic.
    pub(in crate::thread) fn mark_handled<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.unhandled_panics.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// Scope: whether a thread panicked whose payload no join has taken. Relaxed: after
    /// [`ScopeData::wait`].
    pub(in crate::thread) fn has_unhandled_panics(&self) -> bool {
        self.unhandled_panics.load(Ordering::Relaxed) > 0
    }

    /// Scope: sleeps until no thread is left.
    pub(crate) fn wait(&self) {
        self.after_fork();
        let load = || self.running.load(Ordering::Acquire);
        if spin::spin_until(&spin::JOINS, || load() == 0) {
            return;
        }
        let mut value = self.running.fetch_or(WAITING, Ordering::Acquire) | WAITING;
        while value != WAITING {
            futex::wait(&self.running, value);
            value = load();
        }
    }
}
