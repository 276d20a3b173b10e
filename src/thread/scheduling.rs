//! Scheduling policies, as in `sched(7)`.

use core::time::Duration;

use crate::sys::sched::SchedAttr;

/// How the kernel is to schedule a thread (`sched_setattr(2)`).
///
/// ```
/// use rawthread::{Builder, Scheduling};
///
/// let sweeper = Builder::new()
///     .scheduling(Scheduling::Batch { nice: 10 })
///     .spawn(|| unsafe { libc::sched_getscheduler(0) })?;
/// assert_eq!(sweeper.join().unwrap(), libc::SCHED_BATCH);
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduling {
    /// SCHED_OTHER: time sharing. `nice` from -20 (most) to 19, beyond which the kernel
    /// takes the nearest; below the spawner's needs RLIMIT_NICE or CAP_SYS_NICE.
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
}

impl Scheduling {
    pub(crate) fn attributes(self) -> SchedAttr {
        // More nanoseconds than fit are more than the kernel takes: it says EINVAL.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        const SCHED_DEADLINE: u32 = 6;
        let (policy, nice, priority) = match self {
            Self::Other { nice } => (libc::SCHED_OTHER as u32, nice, 0),
            Self::Batch { nice } => (libc::SCHED_BATCH as u32, nice, 0),
            Self::Idle => (libc::SCHED_IDLE as u32, 0, 0),
            Self::Fifo { priority } => (libc::SCHED_FIFO as u32, 0, priority),
            Self::RoundRobin { priority } => (libc::SCHED_RR as u32, 0, priority),
            Self::Deadline { .. } => (SCHED_DEADLINE, 0, 0),
        };
        let mut attributes = SchedAttr {
            policy,
            nice,
            priority,
            ..SchedAttr::default()
        };
        if let Self::Deadline {
            runtime,
            deadline,
            period,
        } = self
        {
            attributes.runtime = nanos(runtime);
            attributes.deadline = nanos(deadline);
            attributes.period = nanos(period);
        }
        attributes
    }
}
