//! What a handle changes of a running thread: processors, scheduling, I/O priority.
//!
//! The kernel knows a thread by its tid, which it gives to another thread once this one is gone; and
//! there is no call that takes a pidfd for these. So each call pins the tid (`State::pin_tid`): the
//! thread does not exit, and its number is not given away, before the call has returned.

use super::cpu_set::{CpuSet, GET_AFFINITY, SET_AFFINITY};
use super::io_priority::{GET_IO_PRIORITY, IoPriority, SET_IO_PRIORITY};
use super::join::handle::JoinHandle;
use super::scheduling::{GET_SCHEDULING, SET_SCHEDULING, Scheduling};
use crate::error::Error;
use crate::sys::sched;

/// Processors, scheduling and I/O priority of the running thread.
///
/// No call reaches another thread that the kernel gave this one's number to. What is changed for a task
/// of [`warm`](crate::warm) ends with the task: its kernel thread serves no other.
impl<T, S> JoinHandle<T, S> {
    /// Returns the processors that the thread may use (`sched_getaffinity(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`affinity`](fn@crate::affinity).
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// assert_eq!(thread.affinity()?, rawthread::affinity()?);
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn affinity(&self) -> Result<CpuSet, Error> {
        self.with_pinned_tid(&GET_AFFINITY, CpuSet::of)
    }

    /// Sets the processors that the thread may use (`sched_setaffinity(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`set_affinity`](fn@crate::set_affinity).
    ///
    /// ```
    /// use rawthread::CpuSet;
    ///
    /// let thread = rawthread::spawn(rawthread::park);
    /// let first: CpuSet = thread.affinity()?.iter().take(1).collect();
    /// thread.set_affinity(&first)?;
    /// assert_eq!(thread.affinity()?, first);
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn set_affinity(&self, cpus: &CpuSet) -> Result<(), Error> {
        cpus.check()?;
        self.retire_worker_after_task();
        self.with_pinned_tid(&SET_AFFINITY, |tid| sched::set_affinity(tid, cpus.words()))
    }

    /// Returns how the thread is scheduled (`sched_getattr(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`scheduling`](fn@crate::scheduling).
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// println!("{:?}", thread.scheduling()?.policy());
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn scheduling(&self) -> Result<Scheduling, Error> {
        self.with_pinned_tid(&GET_SCHEDULING, Scheduling::of)
    }

    /// Sets how the thread is scheduled (`sched_setattr(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`set_scheduling`](fn@crate::set_scheduling).
    ///
    /// ```
    /// use rawthread::Policy;
    ///
    /// let thread = rawthread::spawn(rawthread::park);
    /// thread.set_scheduling(Policy::Batch { nice: 4 })?;
    /// assert_eq!(thread.scheduling()?.policy(), Policy::Batch { nice: 4 });
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn set_scheduling(&self, scheduling: impl Into<Scheduling>) -> Result<(), Error> {
        let attributes = scheduling.into().attributes();
        self.retire_worker_after_task();
        self.with_pinned_tid(&SET_SCHEDULING, |tid| {
            sched::set_attributes(tid, &attributes)
        })
    }

    /// Returns the thread's I/O priority (`ioprio_get(2)`), as [`io_priority`](fn@crate::io_priority).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`io_priority`](fn@crate::io_priority).
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// println!("{:?}", thread.io_priority()?);
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn io_priority(&self) -> Result<IoPriority, Error> {
        self.with_pinned_tid(&GET_IO_PRIORITY, IoPriority::of)
    }

    /// Sets the thread's I/O priority (`ioprio_set(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; else as [`set_io_priority`](fn@crate::set_io_priority).
    ///
    /// ```
    /// use rawthread::IoPriority;
    ///
    /// let thread = rawthread::spawn(rawthread::park);
    /// thread.set_io_priority(IoPriority::Idle)?;
    /// assert_eq!(thread.io_priority()?, IoPriority::Idle);
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn set_io_priority(&self, priority: IoPriority) -> Result<(), Error> {
        self.retire_worker_after_task();
        self.with_pinned_tid(&SET_IO_PRIORITY, |tid| {
            sched::set_io_priority(tid, priority.number()?)
        })
    }
}
