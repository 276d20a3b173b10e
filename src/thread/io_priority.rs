//! I/O priorities, as in `ioprio_set(2)`.

use crate::error::{Error, Operation};
use crate::sys::{Errno, sched};

/// With which priority a thread's input and output reaches a block device (`ioprio_set(2)`).
///
/// Only some of the kernel's I/O schedulers look at it (bfq and mq-deadline do).
///
/// ```
/// use rawthread::IoPriority;
///
/// let thread = rawthread::spawn(|| {
///     rawthread::set_io_priority(IoPriority::Idle)?;
///     rawthread::io_priority()
/// });
/// assert_eq!(thread.join().unwrap()?, IoPriority::Idle);
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoPriority {
    /// None of its own: the kernel takes one by the thread's nice value and policy.
    Unset,
    /// Before all others; needs CAP_SYS_NICE or CAP_SYS_ADMIN.
    RealTime {
        /// 0 (first) to 7.
        level: u32,
    },
    /// By level; the usual class.
    BestEffort {
        /// 0 (first) to 7.
        level: u32,
    },
    /// Only while no other thread wants the device.
    Idle,
}

/// The kernel's number: the class above, the level below; between them are hints, which this crate does
/// not use (include/uapi/linux/ioprio.h).
const CLASS_SHIFT: u32 = 13;
const LEVEL_MASK: u32 = 7;
const REAL_TIME: u32 = 1;
const BEST_EFFORT: u32 = 2;
const IDLE: u32 = 3;

impl IoPriority {
    /// The kernel's number; the kernel itself refuses a level above 7, which reaches the hints' bits or
    /// the class's.
    pub(super) fn number(self) -> Result<u32, Errno> {
        let (class, level) = match self {
            Self::Unset => (0, 0),
            Self::RealTime { level } => (REAL_TIME, level),
            Self::BestEffort { level } => (BEST_EFFORT, level),
            Self::Idle => (IDLE, 0),
        };
        if level > LEVEL_MASK {
            return Err(Errno::EINVAL);
        }
        Ok(class << CLASS_SHIFT | level)
    }

    /// Reads the priority of thread `tid` (0: the caller).
    pub(super) fn of(tid: i32) -> Result<Self, Errno> {
        let number = sched::io_priority(tid)?;
        let level = number & LEVEL_MASK;
        Ok(match number >> CLASS_SHIFT {
            REAL_TIME => Self::RealTime { level },
            BEST_EFFORT => Self::BestEffort { level },
            IDLE => Self::Idle,
            _ => Self::Unset,
        })
    }
}

pub(super) static SET_IO_PRIORITY: Operation = Operation {
    name: "ioprio_set",
    purpose: "give the thread the I/O priority asked for",
    hint: |errno| match errno {
        Errno::EPERM => "The real-time class needs CAP_SYS_NICE or CAP_SYS_ADMIN.",
        Errno::EINVAL => "Levels are 0 to 7.",
        Errno::ESRCH => "The thread has ended.",
        _ => "See ioprio_set(2).",
    },
};

pub(super) static GET_IO_PRIORITY: Operation = Operation {
    name: "ioprio_get",
    purpose: "read the thread's I/O priority",
    hint: |errno| match errno {
        Errno::ESRCH => "The thread has ended.",
        _ => "See ioprio_get(2).",
    },
};

/// Returns the I/O priority of the calling thread (`ioprio_get(2)`). For one that was never set the kernel
/// reports what it derives from the nice value, or `Unset`.
///
/// # Errors
/// What a sandbox returns; ENOSYS from a kernel without block devices.
///
/// ```
/// println!("{:?}", rawthread::io_priority()?);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn io_priority() -> Result<IoPriority, Error> {
    IoPriority::of(0).map_err(|errno| Error::from_operation(&GET_IO_PRIORITY, errno))
}

/// Sets the I/O priority of the calling thread (`ioprio_set(2)`).
///
/// In [`Builder::before_start`](crate::Builder) it is in force before the closure begins. Threads that
/// the thread makes inherit it.
///
/// # Errors
/// EPERM for the real-time class without the right; EINVAL for a level above 7.
///
/// ```
/// use rawthread::IoPriority;
///
/// # #[cfg(feature = "alloc")] {
/// let backup = rawthread::Builder::new()
///     .before_start(|| rawthread::set_io_priority(IoPriority::BestEffort { level: 7 }))
///     .try_spawn(rawthread::io_priority)?;
/// assert_eq!(backup.join().unwrap()?, IoPriority::BestEffort { level: 7 });
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn set_io_priority(priority: IoPriority) -> Result<(), Error> {
    priority
        .number()
        .and_then(|number| sched::set_io_priority(0, number))
        .map_err(|errno| Error::from_operation(&SET_IO_PRIORITY, errno))
}
