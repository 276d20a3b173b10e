//! `futex(2)`: wait while a word has a value, wake its waiters.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::sync::atomic::AtomicU32;
use core::time::Duration;

use super::arch::{syscall2, syscall3, syscall4, syscall6};
use super::errno::Errno;

/// Which wakes reach a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those of threads of this process that are private too.
    Private,
    /// Those of other processes, and of the kernel when it clears a `CLONE_CHILD_CLEARTID` word:
    /// that wake is shared and does not reach private waiters.
    Shared,
}

impl Sharing {
    const fn bit(self) -> i32 {
        match self {
            Self::Private => libc::FUTEX_PRIVATE_FLAG,
            Self::Shared => 0,
        }
    }
}

/// The deadline of a wait passed before a wake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// A point in time of CLOCK_MONOTONIC, in the kernel's form.
///
/// It brings the code that reads the clock: a program without a deadline has none of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    time: libc::timespec,
    has_passed: fn(libc::timespec) -> bool,
}

impl Deadline {
    /// The last point that the type can hold: to the kernel, some 292 years from now.
    pub(super) const NEVER: Self = Self {
        time: libc::timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        },
        has_passed: |_| false,
    };

    /// The address of the timespec, which the kernel reads.
    pub(super) fn as_ptr(&self) -> *const libc::timespec {
        core::ptr::from_ref(&self.time)
    }

    /// The point `duration` from now; `None` if it is out of the clock's range.
    pub(crate) fn after(duration: Duration) -> Option<Self> {
        let now = monotonic();
        let seconds = now
            .tv_sec
            .checked_add(i64::try_from(duration.as_secs()).ok()?)?;
        let nanos = now.tv_nsec + i64::from(duration.subsec_nanos());
        let (carry, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        Some(Self {
            time: libc::timespec {
                tv_sec: seconds.checked_add(carry)?,
                tv_nsec: nanos,
            },
            has_passed,
        })
    }

    /// Returns how long it is until then; zero if it has passed.
    pub(crate) fn remaining(&self) -> Duration {
        let now = monotonic();
        let since = |time: libc::timespec| {
            Duration::new(
                u64::try_from(time.tv_sec).unwrap_or(0),
                u32::try_from(time.tv_nsec).unwrap_or(0),
            )
        };
        since(self.time).saturating_sub(since(now))
    }

    /// Returns whether the deadline has passed.
    pub(crate) fn has_passed(&self) -> bool {
        (self.has_passed)(self.time)
    }
}

fn has_passed(time: libc::timespec) -> bool {
    let now = monotonic();
    (now.tv_sec, now.tv_nsec) >= (time.tv_sec, time.tv_nsec)
}

/// The present time of the clock that deadlines are of.
fn monotonic() -> libc::timespec {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is writable and large enough.
    // Where a filter refuses, the time is 0, and every deadline of then has passed for the kernel.
    unsafe {
        syscall2(
            libc::SYS_clock_gettime,
            libc::CLOCK_MONOTONIC as usize,
            core::ptr::from_mut(&mut now) as usize,
        );
    }
    now
}

/// Sleeps while `*word == expected`, until woken, `deadline` (CLOCK_MONOTONIC), or a signal.
///
/// Returns [`TimedOut`] only past the deadline, and then always, also where every wait is interrupted
/// or refused. Everything else (a wake, a signal, a value that had changed) is `Ok`: the caller always
/// reads the word again.
pub(crate) fn wait(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Deadline>,
    sharing: Sharing,
) -> Result<(), TimedOut> {
    // SAFETY: a reference is an address that stays readable during the call.
    unsafe { wait_raw(word.as_ptr(), expected, deadline, sharing) }
}

/// [`wait`] on a word that may be unmapped meanwhile: then the kernel returns EFAULT, and this `Ok`.
///
/// # Safety
/// `word` must be aligned; reading it, if it is mapped, must be sound.
pub(crate) unsafe fn wait_raw(
    word: *const u32,
    expected: u32,
    deadline: Option<Deadline>,
    sharing: Sharing,
) -> Result<(), TimedOut> {
    let timeout = match &deadline {
        Some(deadline) => deadline.as_ptr() as usize,
        None => 0,
    };
    // FUTEX_WAIT_BITSET takes an absolute time, so a signal does not lengthen the sleep.
    // SAFETY: the kernel only reads the word and the timeout.
    let returned = unsafe {
        syscall6(
            libc::SYS_futex,
            word as usize,
            (libc::FUTEX_WAIT_BITSET | sharing.bit()) as usize,
            expected as usize,
            timeout,
            0,
            u32::MAX as usize,
        )
    };
    match Errno::check(returned) {
        Ok(_) => Ok(()),
        Err(Errno::ETIMEDOUT) => Err(TimedOut),
        // The kernel did not look at the deadline: a caller that repeats the wait must not do so without end.
        Err(_) if deadline.is_some_and(|deadline| deadline.has_passed()) => Err(TimedOut),
        Err(_) => Ok(()),
    }
}

/// [`wait`] for at most `time`, which the kernel counts from the call. A sleep that ends before may
/// have lasted any part of it.
pub(crate) fn wait_for(
    word: &AtomicU32,
    expected: u32,
    time: Duration,
    sharing: Sharing,
) -> Result<(), TimedOut> {
    let timeout = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // FUTEX_WAIT takes a relative time (CLOCK_MONOTONIC).
    // SAFETY: the kernel only reads the word and the timeout.
    let returned = unsafe {
        syscall4(
            libc::SYS_futex,
            word.as_ptr() as usize,
            (libc::FUTEX_WAIT | sharing.bit()) as usize,
            expected as usize,
            core::ptr::from_ref(&timeout) as usize,
        )
    };
    match Errno::check(returned) {
        Err(Errno::ETIMEDOUT) => Err(TimedOut),
        _ => Ok(()),
    }
}

/// Wakes up to `count` waiters; returns how many it woke. The word may have been freed: a wake on
/// a private futex accesses no memory.
pub(crate) fn wake(word: *const u32, count: u32, sharing: Sharing) -> usize {
    // SAFETY: FUTEX_WAKE only uses the address as a key.
    let returned = unsafe {
        syscall3(
            libc::SYS_futex,
            word as usize,
            (libc::FUTEX_WAKE | sharing.bit()) as usize,
            count.min(i32::MAX as u32) as usize,
        )
    };
    Errno::check(returned).unwrap_or(0)
}

/// Takes a lock whose word holds its owner's tid, and lends the caller's priority to that while it
/// waits (FUTEX_LOCK_PI, private).
///
/// # Errors
/// Those of futex(2): EDEADLK, ESRCH, EAGAIN, ENOMEM, EPERM, ENOSYS.
pub(crate) fn lock_pi(word: &AtomicU32) -> Result<(), Errno> {
    pi(word, libc::FUTEX_LOCK_PI)
}

/// Gives up a lock that [`lock_pi`] has waiters of (FUTEX_UNLOCK_PI, private).
///
/// # Errors
/// Those of futex(2): EPERM, EINVAL, EAGAIN, ENOSYS.
pub(crate) fn unlock_pi(word: &AtomicU32) -> Result<(), Errno> {
    pi(word, libc::FUTEX_UNLOCK_PI)
}

fn pi(word: &AtomicU32, operation: i32) -> Result<(), Errno> {
    // SAFETY: a reference is an address that stays accessible during the call, and the kernel changes
    // the word by atomic operations. No timeout; the other arguments are not used.
    let returned = unsafe {
        syscall6(
            libc::SYS_futex,
            word.as_ptr() as usize,
            (operation | Sharing::Private.bit()) as usize,
            0,
            0,
            0,
            0,
        )
    };
    Errno::check(returned).map(drop)
}
