//! Processors, policies, sleeping, yielding.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

#[cfg(feature = "hosted")]
use super::arch::syscall1;
use super::arch::{syscall0, syscall2, syscall3, syscall4};
use super::errno::Errno;
use super::futex::Deadline;

/// Yields the processor to other threads (`sched_yield(2)`).
pub(crate) fn yield_now() {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_sched_yield) };
}

/// Sleeps for `nanoseconds`, fewer than 10^9, or until a signal arrives.
pub(crate) fn sleep_nanos(nanoseconds: i64) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    // SAFETY: the kernel reads `time`; a null pointer asks for no remainder.
    unsafe { syscall2(libc::SYS_nanosleep, core::ptr::from_ref(&time) as usize, 0) };
}

/// Pauses between looks at what another thread will do soon: yields at first, then sleeps.
///
/// A yield never lets a thread of a lower priority run: under a real-time policy a loop of yields
/// keeps the very thread that it waits for from its processor.
pub(crate) struct Pauses(u32);

impl Pauses {
    /// More yields than two threads of one priority need.
    const YIELDS: u32 = 64;
    const SHORTEST: i64 = 50_000;
    /// Sleeps double up to 1.6 ms.
    const DOUBLINGS: u32 = 5;

    pub(crate) const fn new() -> Self {
        Self(0)
    }

    /// Pauses once.
    pub(crate) fn pause(&mut self) {
        match self.0.checked_sub(Self::YIELDS) {
            None => yield_now(),
            Some(slept) => sleep_nanos(Self::SHORTEST << slept.min(Self::DOUBLINGS)),
        }
        self.0 = self.0.saturating_add(1);
    }
}

/// Sleeps at least for `duration`, and resumes the sleep after a signal. Does not return if the end
/// is beyond the range of the clock.
pub(crate) fn sleep(duration: Duration) {
    let deadline = Deadline::after(duration).unwrap_or(Deadline::NEVER);
    loop {
        // SAFETY: the kernel reads the timespec.
        let returned = unsafe {
            syscall4(
                libc::SYS_clock_nanosleep,
                libc::CLOCK_MONOTONIC as usize,
                libc::TIMER_ABSTIME as usize,
                deadline.as_ptr() as usize,
                0,
            )
        };
        if Errno::check(returned) != Err(Errno::EINTR) || deadline.has_passed() {
            return;
        }
    }
}

/// The scheduling policy of thread `tid` (0: the caller), as a number.
#[cfg(feature = "hosted")]
pub(crate) fn policy(tid: i32) -> Result<usize, Errno> {
    // SAFETY: no memory.
    Errno::check(unsafe { syscall1(libc::SYS_sched_getscheduler, tid as usize) })
}

/// Reads the mask of processors that thread `tid` (0: the caller) may use; returns how many bytes
/// of `mask` the kernel filled.
pub(crate) fn get_affinity(tid: i32, mask: &mut [u64]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most that many bytes.
    let returned = unsafe {
        syscall3(
            libc::SYS_sched_getaffinity,
            tid as usize,
            size_of_val(mask),
            mask.as_mut_ptr() as usize,
        )
    };
    Errno::check(returned)
}

/// Restricts thread `tid` (0: the caller) to the processors of `mask`.
pub(crate) fn set_affinity(tid: i32, mask: &[u64]) -> Result<(), Errno> {
    // SAFETY: the kernel reads that many bytes.
    let returned = unsafe {
        syscall3(
            libc::SYS_sched_setaffinity,
            tid as usize,
            size_of_val(mask),
            mask.as_ptr() as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// How many processors the calling thread may use; at least 1.
pub(crate) fn cpu_count() -> usize {
    let mut mask = [0u64; 128];
    match get_affinity(0, &mut mask) {
        Ok(filled) => mask[..filled / 8]
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum::<usize>()
            .max(1),
        Err(_) => 1,
    }
}

/// Whether spinning can help: not where the caller sits on the only processor that the other thread can use.
pub(crate) fn is_multiprocessor() -> bool {
    /// Processors may be taken away or given while the process runs: ask again now and then.
    const RECHECK_INTERVAL: u32 = 256;
    /// Low bit: whether there is more than one; the rest counts down to the next question.
    /// Relaxed: a stale answer costs one spin or one sleep.
    static CACHED: AtomicU32 = AtomicU32::new(0);
    let cached = CACHED.load(Ordering::Relaxed);
    if cached >> 1 == 0 {
        let several = cpu_count() > 1;
        CACHED.store(
            RECHECK_INTERVAL << 1 | u32::from(several),
            Ordering::Relaxed,
        );
        return several;
    }
    CACHED.store(cached - 2, Ordering::Relaxed);
    cached & 1 == 1
}

/// `struct sched_attr`, second version (Linux 5.3): 56 bytes. An older kernel takes it where what it
/// does not know, the clamps, is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

impl SchedAttr {
    /// No attributes: the size is zero.
    pub(crate) const NONE: Self = Self {
        size: 0,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
        util_min: 0,
        util_max: 0,
    };
}

/// Policy, nice value, priority, deadline parameters and clamps of thread `tid` (0: the caller).
pub(crate) fn get_attributes(tid: i32) -> Result<SchedAttr, Errno> {
    let mut attributes = SchedAttr::default();
    // SAFETY: the kernel writes at most the size that is passed.
    let returned = unsafe {
        syscall4(
            libc::SYS_sched_getattr,
            tid as usize,
            core::ptr::from_mut(&mut attributes) as usize,
            size_of::<SchedAttr>(),
            0,
        )
    };
    Errno::check(returned).map(|_| attributes)
}

/// Sets policy, nice value, priority, deadline parameters and clamps of thread `tid` (0: the caller).
pub(crate) fn set_attributes(tid: i32, attributes: &SchedAttr) -> Result<(), Errno> {
    let attributes = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        ..*attributes
    };
    // SAFETY: the kernel reads the structure, whose size is in its first word.
    let returned = unsafe {
        syscall3(
            libc::SYS_sched_setattr,
            tid as usize,
            core::ptr::from_ref(&attributes) as usize,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// `IOPRIO_WHO_PROCESS`: the id is a thread's.
const IOPRIO_WHO_PROCESS: usize = 1;

/// The I/O priority of thread `tid` (0: the caller), as a number.
pub(crate) fn io_priority(tid: i32) -> Result<u32, Errno> {
    // SAFETY: no memory.
    let returned = unsafe { syscall2(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid as usize) };
    Errno::check(returned).map(|number| number as u32)
}

/// Sets the I/O priority of thread `tid` (0: the caller).
pub(crate) fn set_io_priority(tid: i32, number: u32) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            tid as usize,
            number as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// CPU time used by a thread's clock, in nanoseconds.
pub(crate) fn thread_cpu_time(tid: i32) -> Result<Duration, Errno> {
    // The kernel's encoding of a thread's CPU clock: ~tid << 3 | per-thread (4) | scheduler (2).
    let clock = (!tid << 3) | 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the out-pointer is writable.
    let returned = unsafe {
        syscall2(
            libc::SYS_clock_gettime,
            clock as isize as usize,
            core::ptr::from_mut(&mut time) as usize,
        )
    };
    Errno::check(returned).map(|_| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
