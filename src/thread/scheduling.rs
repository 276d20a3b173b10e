//! Scheduling policies and their parameters, as in `sched(7)`.

use core::time::Duration;

use crate::error::{Error, Operation};
use crate::sys::Errno;
use crate::sys::sched::{self, SchedAttr};

/// A scheduling policy and its parameters (`sched(7)`).
///
/// ```
/// use rawthread::{Builder, Policy};
///
/// let sweeper = Builder::new()
///     .scheduling(Policy::Batch { nice: 10 })
///     .try_spawn(|| unsafe { libc::sched_getscheduler(0) })?;
/// assert_eq!(sweeper.join().unwrap(), libc::SCHED_BATCH);
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// SCHED_OTHER: time sharing. `nice` from -20 (most) to 19, beyond which the kernel
    /// takes the nearest; below the thread's present one it needs RLIMIT_NICE or CAP_SYS_NICE.
    Other {
        /// The nice value, -20 to 19.
        nice: i32,
    },
    /// SCHED_BATCH: time sharing for work without a deadline, such as batch jobs.
    Batch {
        /// The nice value, -20 to 19.
        nice: i32,
    },
    /// SCHED_IDLE: runs only when no other thread wants the processor.
    Idle,
    /// SCHED_FIFO: runs until it blocks. `priority` from 1 to 99; needs RLIMIT_RTPRIO or
    /// CAP_SYS_NICE.
    Fifo {
        /// The real-time priority, 1 to 99.
        priority: u32,
    },
    /// SCHED_RR: as `Fifo`, in turns with threads of the same priority.
    RoundRobin {
        /// The real-time priority, 1 to 99.
        priority: u32,
    },
    /// SCHED_DEADLINE: `runtime` in every `period`, done by `deadline`; needs CAP_SYS_NICE and an
    /// affinity to all processors.
    Deadline {
        /// How long it runs in each period.
        runtime: Duration,
        /// By when after the period's start it is to have run.
        deadline: Duration,
        /// The period.
        period: Duration,
    },
    /// SCHED_EXT: by a scheduler that was loaded as BPF programs; by the default one while none is
    /// (Linux 6.12).
    Ext {
        /// The nice value, -20 to 19.
        nice: i32,
    },
}

/// How the kernel is to schedule a thread: a [`Policy`], and what goes with it (`sched_setattr(2)`).
///
/// | value | where it is not set, [`set_scheduling`](crate::set_scheduling) and [`Builder::scheduling`](crate::Builder::scheduling) |
/// |---|---|
/// | [slice](Self::with_slice) | set the kernel's default |
/// | clamps of utilization: the [lower](Self::with_min_utilization), the [upper](Self::with_max_utilization) | leave the thread's as they are |
/// | [reset on fork](Self::with_reset_on_fork) | take the mark away |
///
/// ```
/// use rawthread::{Policy, Scheduling};
/// use std::time::Duration;
///
/// let latency_bound = Scheduling::new(Policy::Other { nice: 0 }).with_slice(Duration::from_millis(1));
/// let thread = rawthread::Builder::new()
///     .scheduling(latency_bound)
///     .try_spawn(|| rawthread::scheduling())?;
/// let read = thread.join().unwrap()?;
/// assert_eq!(read.policy(), Policy::Other { nice: 0 });
/// // `None` before Linux 6.12.
/// assert!(read.slice().is_none_or(|slice| slice == Duration::from_millis(1)));
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling {
    policy: Policy,
    slice: Option<Duration>,
    min_utilization: Option<u32>,
    max_utilization: Option<u32>,
    reset_on_fork: bool,
}

const SCHED_DEADLINE: u32 = 6;
const SCHED_EXT: u32 = 7;

/// Flags of `sched_setattr(2)` (include/uapi/linux/sched.h).
const RESET_ON_FORK: u64 = 0x01;
const UTIL_CLAMP_MIN: u64 = 0x20;
const UTIL_CLAMP_MAX: u64 = 0x40;

/// The greatest clamp of a kernel: a processor's whole capacity.
const WHOLE_CAPACITY: u32 = 1024;

impl Scheduling {
    /// Takes a policy, with the kernel's default slice and the thread's present clamps.
    ///
    /// ```
    /// use rawthread::{Policy, Scheduling};
    /// assert_eq!(Scheduling::new(Policy::Idle), Policy::Idle.into());
    /// ```
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            slice: None,
            min_utilization: None,
            max_utilization: None,
            reset_on_fork: false,
        }
    }

    /// Sets how long the thread runs before the scheduler chooses again among those of its nice value: a
    /// shorter slice gets the processor sooner and for less time.
    ///
    /// For `Policy::Other` and `Batch`, in EEVDF (Linux 6.12, which takes 0.1 to 100 ms and the nearest
    /// otherwise). Older kernels, and the other policies, ignore it.
    ///
    /// ```
    /// use rawthread::{Policy, Scheduling};
    /// use std::time::Duration;
    ///
    /// let sound = Scheduling::new(Policy::Other { nice: -5 }).with_slice(Duration::from_micros(500));
    /// assert_eq!(sound.slice(), Some(Duration::from_micros(500)));
    /// ```
    pub const fn with_slice(mut self, slice: Duration) -> Self {
        self.slice = Some(slice);
        self
    }

    /// Sets the least utilization, of 1024, that the kernel assumes of the thread where it chooses a
    /// processor and its frequency (`SCHED_FLAG_UTIL_CLAMP_MIN`, Linux 5.3).
    ///
    /// A kernel without CONFIG_UCLAMP_TASK refuses it with EOPNOTSUPP, and every kernel refuses one that
    /// is above 1024 or above the greatest, with EINVAL.
    ///
    /// ```
    /// use rawthread::{Policy, Scheduling};
    /// let fast = Scheduling::new(Policy::Other { nice: 0 }).with_min_utilization(512);
    /// assert_eq!(fast.min_utilization(), Some(512));
    /// ```
    pub const fn with_min_utilization(mut self, of_1024: u32) -> Self {
        self.min_utilization = Some(of_1024);
        self
    }

    /// Sets the greatest utilization, of 1024, that the kernel assumes of the thread
    /// (`SCHED_FLAG_UTIL_CLAMP_MAX`, Linux 5.3). Refused as [`Scheduling::with_min_utilization`].
    ///
    /// ```
    /// use rawthread::{Policy, Scheduling};
    /// let background = Scheduling::new(Policy::Batch { nice: 5 }).with_max_utilization(256);
    /// assert_eq!(background.max_utilization(), Some(256));
    /// ```
    pub const fn with_max_utilization(mut self, of_1024: u32) -> Self {
        self.max_utilization = Some(of_1024);
        self
    }

    /// Sets whether threads and processes that the thread makes begin with the default scheduling in the
    /// place of the thread's (`SCHED_FLAG_RESET_ON_FORK`). To take it back needs CAP_SYS_NICE.
    ///
    /// ```
    /// use rawthread::{Policy, Scheduling};
    /// let own = Scheduling::new(Policy::RoundRobin { priority: 10 }).with_reset_on_fork(true);
    /// assert_ne!(own, Policy::RoundRobin { priority: 10 }.into());
    /// ```
    pub const fn with_reset_on_fork(mut self, reset: bool) -> Self {
        self.reset_on_fork = reset;
        self
    }

    /// Returns the policy.
    ///
    /// ```
    /// let current = rawthread::scheduling()?;
    /// println!("{:?}", current.policy());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Returns the slice. Of a thread's scheduling that was read: the kernel's default, too, and `None`
    /// before Linux 6.12 and for policies that have none.
    ///
    /// ```
    /// println!("{:?}", rawthread::scheduling()?.slice());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn slice(&self) -> Option<Duration> {
        self.slice
    }

    /// Returns the least utilization, of 1024. Of a thread's scheduling that was read: `None` for the
    /// default, 0.
    ///
    /// ```
    /// println!("{:?}", rawthread::scheduling()?.min_utilization());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn min_utilization(&self) -> Option<u32> {
        self.min_utilization
    }

    /// Returns the greatest utilization, of 1024. Of a thread's scheduling that was read: `None` for the
    /// default, 1024.
    ///
    /// ```
    /// println!("{:?}", rawthread::scheduling()?.max_utilization());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn max_utilization(&self) -> Option<u32> {
        self.max_utilization
    }

    /// The kernel's structure.
    pub(crate) fn attributes(self) -> SchedAttr {
        // More nanoseconds than fit are more than the kernel takes: it says EINVAL.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (policy, nice, priority) = match self.policy {
            Policy::Other { nice } => (libc::SCHED_OTHER as u32, nice, 0),
            Policy::Batch { nice } => (libc::SCHED_BATCH as u32, nice, 0),
            Policy::Idle => (libc::SCHED_IDLE as u32, 0, 0),
            Policy::Fifo { priority } => (libc::SCHED_FIFO as u32, 0, priority),
            Policy::RoundRobin { priority } => (libc::SCHED_RR as u32, 0, priority),
            Policy::Deadline { .. } => (SCHED_DEADLINE, 0, 0),
            Policy::Ext { nice } => (SCHED_EXT, nice, 0),
        };
        let mut attributes = SchedAttr {
            size: size_of::<SchedAttr>() as u32,
            policy,
            nice,
            priority,
            runtime: self.slice.map_or(0, nanos),
            ..SchedAttr::default()
        };
        if let Policy::Deadline {
            runtime,
            deadline,
            period,
        } = self.policy
        {
            attributes.runtime = nanos(runtime);
            attributes.deadline = nanos(deadline);
            attributes.period = nanos(period);
        }
        if self.reset_on_fork {
            attributes.flags |= RESET_ON_FORK;
        }
        if let Some(min) = self.min_utilization {
            attributes.flags |= UTIL_CLAMP_MIN;
            attributes.util_min = min;
        }
        if let Some(max) = self.max_utilization {
            attributes.flags |= UTIL_CLAMP_MAX;
            attributes.util_max = max;
        }
        attributes
    }

    /// What the kernel's structure says; `None` for a policy that this crate does not know.
    fn from_attributes(attributes: &SchedAttr) -> Option<Self> {
        let SchedAttr { nice, priority, .. } = *attributes;
        let policy = match attributes.policy as i32 {
            libc::SCHED_OTHER => Policy::Other { nice },
            libc::SCHED_BATCH => Policy::Batch { nice },
            libc::SCHED_IDLE => Policy::Idle,
            libc::SCHED_FIFO => Policy::Fifo { priority },
            libc::SCHED_RR => Policy::RoundRobin { priority },
            _ => match attributes.policy {
                SCHED_DEADLINE => Policy::Deadline {
                    runtime: Duration::from_nanos(attributes.runtime),
                    deadline: Duration::from_nanos(attributes.deadline),
                    period: Duration::from_nanos(attributes.period),
                },
                SCHED_EXT => Policy::Ext { nice },
                _ => return None,
            },
        };
        let has_slice = !matches!(policy, Policy::Deadline { .. }) && attributes.runtime != 0;
        let clamps = (attributes.util_min, attributes.util_max);
        Some(Self {
            policy,
            slice: has_slice.then(|| Duration::from_nanos(attributes.runtime)),
            min_utilization: (clamps.0 != 0).then_some(clamps.0),
            // A kernel without clamps reports 0 for both.
            max_utilization: (clamps.1 != 0 && clamps.1 != WHOLE_CAPACITY).then_some(clamps.1),
            reset_on_fork: attributes.flags & RESET_ON_FORK != 0,
        })
    }

    /// Reads the scheduling of thread `tid` (0: the caller).
    pub(super) fn of(tid: i32) -> Result<Self, Errno> {
        let attributes = sched::get_attributes(tid)?;
        Self::from_attributes(&attributes).ok_or(Errno::EOPNOTSUPP)
    }
}

impl From<Policy> for Scheduling {
    fn from(policy: Policy) -> Self {
        Self::new(policy)
    }
}

pub(super) static SET_SCHEDULING: Operation = Operation {
    name: "sched_setattr",
    purpose: "give the thread the scheduling asked for",
    hint: |errno| match errno {
        Errno::EPERM => {
            "Raise RLIMIT_RTPRIO or RLIMIT_NICE, or have CAP_SYS_NICE; a deadline also needs an \
             affinity to all processors of its domain."
        }
        Errno::EBUSY => "The processors have no bandwidth left for the deadline.",
        Errno::EOPNOTSUPP => "Utilization clamps need a kernel with CONFIG_UCLAMP_TASK.",
        Errno::E2BIG => "Utilization clamps need Linux 5.3.",
        Errno::ESRCH => "The thread has ended.",
        _ => "See sched(7) for the ranges.",
    },
};

pub(super) static GET_SCHEDULING: Operation = Operation {
    name: "sched_getattr",
    purpose: "read the thread's scheduling",
    hint: |errno| match errno {
        Errno::EOPNOTSUPP => "Its policy is one that this crate does not know.",
        Errno::ESRCH => "The thread has ended.",
        _ => "See sched_getattr(2).",
    },
};

/// Returns how the calling thread is scheduled (`sched_getattr(2)`).
///
/// # Errors
/// EOPNOTSUPP for a policy that this crate does not know; what a sandbox returns.
///
/// ```
/// let scheduling = rawthread::scheduling()?;
/// rawthread::set_scheduling(scheduling)?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn scheduling() -> Result<Scheduling, Error> {
    Scheduling::of(0).map_err(|errno| Error::from_operation(&GET_SCHEDULING, errno))
}

/// Sets how the calling thread is scheduled (`sched_setattr(2)`).
///
/// # Errors
/// EPERM without the right; EINVAL out of range; EBUSY where the processors have no bandwidth left for
/// a deadline; EOPNOTSUPP for utilization clamps that the kernel was built without.
///
/// ```
/// use rawthread::Policy;
///
/// let thread = rawthread::spawn(|| {
///     rawthread::set_scheduling(Policy::Batch { nice: 3 })?;
///     rawthread::scheduling()
/// });
/// assert_eq!(thread.join().unwrap()?.policy(), Policy::Batch { nice: 3 });
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn set_scheduling(scheduling: impl Into<Scheduling>) -> Result<(), Error> {
    sched::set_attributes(0, &scheduling.into().attributes())
        .map_err(|errno| Error::from_operation(&SET_SCHEDULING, errno))
}
