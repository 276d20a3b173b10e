//! How a process ended.

use core::fmt;

use crate::flags;

/// How a process ended: by `exit` with a code, or by a signal.
///
/// With the feature `std` it converts into `std::process::ExitStatus`. The encoding is the wait
/// status of `wait(2)`.
///
/// ```
/// use rawthread::process::ExitStatus;
///
/// let status = ExitStatus::from_raw(3 << 8);
/// assert_eq!(status.code(), Some(3));
/// assert_eq!(status.signal(), None);
/// assert!(!status.success());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ExitStatus(i32);

/// The bit of a wait status that says a core was dumped.
const CORE: i32 = 0x80;

impl ExitStatus {
    /// The status that `wait(2)` encodes so.
    ///
    /// ```
    /// use rawthread::process::ExitStatus;
    /// assert_eq!(ExitStatus::from_raw(libc::SIGKILL).signal(), Some(libc::SIGKILL));
    /// ```
    #[must_use]
    pub const fn from_raw(status: i32) -> Self {
        Self(status)
    }

    /// The status as `wait(2)` encodes it.
    ///
    /// ```
    /// use rawthread::process::ExitStatus;
    /// assert_eq!(ExitStatus::from_raw(0x100).into_raw(), 0x100);
    /// ```
    #[must_use]
    pub const fn into_raw(self) -> i32 {
        self.0
    }

    /// What `waitid` reported, as a wait status.
    pub(super) const fn from_waitid(code: i32, status: i32) -> Self {
        match code {
            libc::CLD_EXITED => Self((status & 0xff) << 8),
            libc::CLD_DUMPED => Self((status & 0x7f) | CORE),
            _ => Self(status & 0x7f),
        }
    }

    /// Whether the process ended with code 0.
    ///
    /// ```
    /// assert!(rawthread::process::ExitStatus::default().success());
    /// ```
    #[must_use]
    pub const fn success(self) -> bool {
        self.0 == 0
    }

    /// The exit code, 0 to 255; `None` if a signal ended the process.
    ///
    /// ```
    /// assert_eq!(rawthread::process::ExitStatus::from_raw(7 << 8).code(), Some(7));
    /// ```
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        if self.0 & 0x7f == 0 {
            Some((self.0 >> 8) & 0xff)
        } else {
            None
        }
    }

    /// The signal that ended the process; `None` if it ended by itself.
    ///
    /// ```
    /// assert_eq!(rawthread::process::ExitStatus::from_raw(7 << 8).signal(), None);
    /// ```
    #[must_use]
    pub const fn signal(self) -> Option<i32> {
        match self.0 & 0x7f {
            // 0x7f: not ended, but stopped or continued. No wait of this crate says so, but a
            // status may come from elsewhere.
            0 | 0x7f => None,
            signal => Some(signal),
        }
    }

    /// The signal that stopped the process, in a wait status of a stop: `waitpid(2)` with `WUNTRACED`, which no
    /// wait of this crate asks for.
    ///
    /// ```
    /// use rawthread::process::ExitStatus;
    /// assert_eq!(ExitStatus::from_raw(libc::SIGTSTP << 8 | 0x7f).stopped_signal(), Some(libc::SIGTSTP));
    /// ```
    #[must_use]
    pub const fn stopped_signal(self) -> Option<i32> {
        match self.0 & 0xff {
            0x7f => Some((self.0 >> 8) & 0xff),
            _ => None,
        }
    }

    /// Whether it is the wait status of a stopped process that continued: `waitpid(2)` with `WCONTINUED`, which
    /// no wait of this crate asks for.
    ///
    /// ```
    /// use rawthread::process::ExitStatus;
    /// assert!(ExitStatus::from_raw(0xffff).continued());
    /// ```
    #[must_use]
    pub const fn continued(self) -> bool {
        self.0 == 0xffff
    }

    /// Whether the kernel wrote a core file.
    ///
    /// ```
    /// use rawthread::process::ExitStatus;
    /// assert!(ExitStatus::from_raw(libc::SIGSEGV | 0x80).core_dumped());
    /// ```
    #[must_use]
    pub const fn core_dumped(self) -> bool {
        self.signal().is_some() && self.0 & CORE != 0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit status: {code}"),
            (None, Some(signal)) => {
                write!(f, "signal: {signal}")?;
                if let Some(name) = flags::signal_name(signal as u32) {
                    write!(f, " (SIG{name})")?;
                }
                if self.core_dumped() {
                    f.write_str(" (core dumped)")?;
                }
                Ok(())
            }
            (None, None) => write!(f, "not ended: wait status {:#x}", self.0),
        }
    }
}

impl fmt::Debug for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExitStatus({self})")
    }
}

#[cfg(feature = "std")]
impl From<ExitStatus> for std::process::ExitStatus {
    fn from(status: ExitStatus) -> Self {
        std::os::unix::process::ExitStatusExt::from_raw(status.0)
    }
}

#[cfg(feature = "std")]
impl From<std::process::ExitStatus> for ExitStatus {
    fn from(status: std::process::ExitStatus) -> Self {
        Self(std::os::unix::process::ExitStatusExt::into_raw(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn waitid_words_become_wait_status_words() {
        let exited = ExitStatus::from_waitid(libc::CLD_EXITED, 300);
        assert_eq!(exited.code(), Some(300 & 0xff));
        let killed = ExitStatus::from_waitid(libc::CLD_KILLED, libc::SIGKILL);
        assert_eq!(killed.to_string(), "signal: 9 (SIGKILL)");
        let dumped = ExitStatus::from_waitid(libc::CLD_DUMPED, libc::SIGSEGV);
        assert_eq!(dumped.to_string(), "signal: 11 (SIGSEGV) (core dumped)");
        assert!(dumped.core_dumped() && !killed.core_dumped());
    }

    #[cfg(feature = "std")]
    #[test]
    fn std_reads_every_status_the_same_way() {
        use std::os::unix::process::ExitStatusExt;
        for raw in [0, 1 << 8, 255 << 8, 9, 11 | CORE, 64, 0x137f, 0xffff] {
            let _ = ExitStatus::from_raw(raw).to_string();
            let ours = ExitStatus::from_raw(raw);
            let theirs = std::process::ExitStatus::from(ours);
            assert_eq!(ours.code(), theirs.code());
            assert_eq!(ours.signal(), theirs.signal());
            assert_eq!(ours.core_dumped(), theirs.core_dumped());
            assert_eq!(ours.stopped_signal(), theirs.stopped_signal());
            assert_eq!(ours.continued(), theirs.continued());
            assert_eq!(ExitStatus::from(theirs), ours);
        }
    }
}
