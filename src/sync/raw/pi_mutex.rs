//! A word that the kernel knows as a lock: it holds its owner's tid (`futex(2)`, priority-inheritance
//! futexes; kernel/futex/pi.c).
//!
//! | `word` | holder | waiters |
//! |---|---|---|
//! | 0 | none | none |
//! | tid | the thread with this tid | none |
//! | tid, `WAITERS` | the same | in the kernel, which lends their priority to the holder |
//! | tid, `WAITERS`, `OWNER_DIED` | the same, to which the kernel gave the lock when the thread that held it ended | the same, or none |
//!
//! | `dead` | meaning |
//! |---|---|
//! | 0 | no holder ended with the lock, as far as the kernel has said |
//! | 1 | one did: no thread gets the lock any more |
//!
//! `WAITERS` is bit 31, which only the kernel changes; with it, no change from user space matches.
//!
//! | transition | by | name |
//! |---|---|---|
//! | 0 -> tid | the new holder | `try_lock`, and `lock` |
//! | tid -> 0 | the holder | `unlock` |
//! | tid -> tid, `WAITERS` | the kernel | a thread waits: FUTEX_LOCK_PI |
//! | tid, `WAITERS` -> tid of a waiter, with `WAITERS` or without | the kernel | the holder's FUTEX_UNLOCK_PI |
//! | tid, `WAITERS` -> 0 | the kernel | the same, where no thread waits any more |
//! | tid, `WAITERS` -> tid of a waiter, `WAITERS`, `OWNER_DIED` | the kernel | the holder has ended; until that waiter runs, FUTEX_LOCK_PI of another thread is EINVAL |
//! | tid of another process -> 0 | the child of a fork | `unlock` of what was locked before the fork |
//! | `dead`: 0 -> 1 | a holder | `lock`, which finds `OWNER_DIED`, and then gives the lock up |
//!
//! * PIMUTEX-1. Only a transition to a tid makes a holder, and only the holder or the kernel after its
//!   end make another value of it. A lock that the kernel passes on after its holder's end gives no
//!   access: a guard of that thread may have been leaked, and its reference be in use.
//!
//! Orderings: the change from 0 is an Acquire, `unlock`'s change a Release. Where the kernel passes the
//! lock on, both threads take the lock of the futex's bucket in the kernel, the holder first: that
//! orders the holder's accesses before the waiter's. The Acquire load after it is for the compiler.
//! `dead` is written by a holder and read by holders: Relaxed.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, compiler_fence};

use crate::primitive::held;
use crate::primitive::own_tid::own_tid;
use crate::sys::sched::Pauses;
use crate::sys::{Errno, futex, signal, task};

const FREE: u32 = 0;
const OWNER_DIED: u32 = 1 << 30;
const TID: u32 = OWNER_DIED - 1;

pub(crate) struct RawPiMutex {
    word: AtomicU32,
    dead: AtomicU32,
}

impl RawPiMutex {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(FREE),
            dead: AtomicU32::new(0),
        }
    }

    /// Takes the lock if it is free and can be had.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        let taken = self
            .word
            .compare_exchange(FREE, own_tid() as u32, Acquire, Relaxed)
            .is_ok();
        if taken && self.is_dead() {
            self.give_up();
            return false;
        }
        if taken {
            held::add();
        }
        taken
    }

    /// Takes the lock, and waits for that if need be.
    ///
    /// # Errors
    /// EDEADLK: the caller has it, or waits in a circle. EOWNERDEAD: its holder has ended. What the
    /// kernel says if it does not know such locks, or a filter refuses.
    #[inline]
    pub(crate) fn lock(&self) -> Result<(), Errno> {
        let tid = own_tid() as u32;
        if self
            .word
            .compare_exchange(FREE, tid, Acquire, Relaxed)
            .is_err()
        {
            self.lock_slow(tid)?;
        }
        if self.is_dead() {
            self.give_up();
            return Err(OWNER_DEAD);
        }
        held::add();
        Ok(())
    }

    #[cold]
    fn lock_slow(&self, tid: u32) -> Result<(), Errno> {
        let mut pauses = Pauses::new();
        let mut inconsistent = 0;
        loop {
            let now = self.word.load(Relaxed);
            if now == FREE {
                if self
                    .word
                    .compare_exchange(FREE, tid, Acquire, Relaxed)
                    .is_ok()
                {
                    return Ok(());
                }
                continue;
            }
            // The kernel asks no more of the owner than that there is such a thread, be it another
            // process's: of the parent of this one, or with a number that was given away again.
            let owner = now & TID;
            let alive = signal::send_to_thread(task::pid(), owner as i32, 0);
            if owner != tid && alive == Err(Errno::ESRCH) {
                if self.word.load(Relaxed) == now {
                    return Err(OWNER_DEAD);
                }
                continue;
            }
            match futex::lock_pi(&self.word) {
                Ok(()) => break,
                // The owner is about to end; a signal.
                Err(Errno::EAGAIN | Errno::EINTR) => pauses.pause(),
                Err(Errno::ESRCH) => return Err(OWNER_DEAD),
                // The holder has ended, and the waiter to which the kernel gave the lock has not run yet: the
                // word has the old tid, and the kernel's state no owner.
                Err(Errno::EINVAL) if inconsistent < INCONSISTENT_MAX => {
                    inconsistent += 1;
                    pauses.pause();
                }
                Err(errno) => return Err(errno),
            }
        }
        compiler_fence(Acquire);
        if self.word.load(Acquire) & OWNER_DIED != 0 {
            self.dead.store(1, Relaxed);
        }
        Ok(())
    }

    /// Gives the lock up. Only the holder may call this (PIMUTEX-1), which the guards ensure.
    #[inline]
    pub(crate) fn unlock(&self) {
        held::remove();
        self.give_up();
    }

    #[inline]
    fn give_up(&self) {
        let tid = own_tid() as u32;
        if self
            .word
            .compare_exchange(tid, FREE, Release, Relaxed)
            .is_err()
        {
            self.unlock_slow(tid);
        }
    }

    #[cold]
    fn unlock_slow(&self, tid: u32) {
        let mut pauses = Pauses::new();
        loop {
            let now = self.word.load(Relaxed);
            if now & TID != tid {
                // Locked before a fork, of which this is the child: no thread of this process waits,
                // for `lock` refuses to.
                if self
                    .word
                    .compare_exchange(now, FREE, Release, Relaxed)
                    .is_ok()
                {
                    return;
                }
                continue;
            }
            compiler_fence(Release);
            match futex::unlock_pi(&self.word) {
                Err(Errno::EAGAIN | Errno::EINTR) => pauses.pause(),
                // Refused by a filter: it stays locked.
                Ok(()) | Err(_) => return,
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Relaxed) != 0
    }

    #[cfg(feature = "lock_api")]
    pub(crate) fn is_locked(&self) -> bool {
        self.word.load(Relaxed) != FREE
    }
}

/// How often the kernel may say that the word is inconsistent: some seconds of pauses, in which that waiter
/// runs, or the number of the ended thread is gone and the loop sees that.
const INCONSISTENT_MAX: u32 = 50_000;

const OWNER_DEAD: Errno = Errno::new(libc::EOWNERDEAD);
