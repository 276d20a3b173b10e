//! What a process used.

use core::time::Duration;

/// What a process and its reaped descendants used: `getrusage(2)`.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// let mut child = rawthread::process::Command::new("true").spawn()?;
/// assert_eq!(child.usage(), None);
/// child.wait()?;
/// let usage = child.usage().unwrap();
/// assert!(usage.max_resident_kib > 0);
/// println!("{:?} of processor time", usage.user_time + usage.system_time);
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Processor time in the program.
    pub user_time: Duration,
    /// Processor time in the kernel on its behalf.
    pub system_time: Duration,
    /// The most memory that was resident at once in one of them, in KiB.
    pub max_resident_kib: u64,
    /// Page faults that needed a read from a device.
    pub major_faults: u64,
}

impl Usage {
    pub(super) fn from_kernel(usage: &libc::rusage) -> Self {
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
                + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
        };
        Self {
            user_time: time(usage.ru_utime),
            system_time: time(usage.ru_stime),
            max_resident_kib: usage.ru_maxrss.try_into().unwrap_or(0),
            major_faults: usage.ru_majflt.try_into().unwrap_or(0),
        }
    }
}
