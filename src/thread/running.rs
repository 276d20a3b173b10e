//! What a handle changes of a running thread: processors and scheduling.
//!
//! The kernel knows a thread by its tid, which it gives to another thread once this one is gone; and
//! there is no call that takes a pidfd for these. So each call pins the tid (`State::pin_tid`): the
//! thread does not exit, and its number is not given away, before the call has returned.

use super::cpu_set::{CpuSet, GET_AFFINITY, SET_AFFINITY};
use super::join::handle::JoinHandle;
use super::scheduling::{GET_SCHEDULING, SET_SCHEDULING, Scheduling};
use crate::error::Error;
use crate::sys::sched;

/// Processors and scheduling of the running thread.
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
}
