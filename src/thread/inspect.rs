//! What a handle reports of a running thread and does to it.
#![allow(unsafe_code, reason = "owns descriptors")]

use core::time::Duration;

use super::join::handle::JoinHandle;
use super::signals::Signal;
use crate::error::{Error, Operation};
use crate::runtime::current;
use crate::runtime::{Rt, Runtime};
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, memory, sched, signal, task, wait};

static SIGNAL: Operation = Operation {
    name: "tgkill",
    purpose: "send the signal to the thread",
    hint: |errno| match errno {
        Errno::ESRCH => "It has ended.",
        Errno::EAGAIN => "RLIMIT_SIGPENDING is reached.",
        _ => "See tgkill(2).",
    },
};

static CPU_TIME: Operation = Operation {
    name: "clock_gettime",
    purpose: "read the thread's processor time",
    hint: |errno| match errno {
        Errno::ESRCH => "It has ended.",
        _ => "See clock_gettime(2).",
    },
};

static PIDFD: Operation = Operation {
    name: "pidfd_open",
    purpose: "open a descriptor for the thread",
    hint: |errno| match errno {
        Errno::EINVAL => "Thread pidfds need Linux 6.9.",
        Errno::ESRCH => "It has ended.",
        Errno::EMFILE => "Close descriptors, or raise RLIMIT_NOFILE.",
        _ => "See pidfd_open(2).",
    },
};

/// Sizes of a thread's stack in bytes, from [`JoinHandle::stack`].
///
/// ```
/// let thread = rawthread::Builder::new().stack_size(1 << 20).spawn(rawthread::park)?;
/// let stack = thread.stack();
/// assert!(stack.size >= 1 << 20 && stack.guard > 0 && stack.high_water <= stack.size);
/// # thread.thread().unpark();
/// # thread.join().unwrap();
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackInfo {
    /// For the thread's frames.
    pub size: usize,
    /// Below them, where a touch faults; 0 on memory of the caller's own.
    pub guard: usize,
    /// From the stack's top down to the beginning of the deepest page that was ever touched: at most a
    /// page more than the thread used. No multiple of the page size, because the top lies within a page,
    /// below the thread's closure and control block. On memory that earlier threads used, of any of them
    /// since [`trim`](crate::trim).
    pub high_water: usize,
}

/// A descriptor for a thread, from [`JoinHandle::open_pidfd`]; closed when dropped.
///
/// With std it has `AsFd` and `AsRawFd`, and converts into an `OwnedFd`.
///
/// ```
/// fn poll_entry(descriptor: &rawthread::Pidfd) -> libc::pollfd {
///     libc::pollfd { fd: descriptor.raw_fd(), events: libc::POLLIN, revents: 0 }
/// }
/// ```
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Returns the descriptor's number, which this value keeps open.
    ///
    /// ```
    /// fn poll_this(descriptor: &rawthread::Pidfd) -> i32 {
    ///     descriptor.raw_fd()
    /// }
    /// ```
    #[must_use]
    pub fn raw_fd(&self) -> i32 {
        self.0.as_raw()
    }
}

#[cfg(feature = "std")]
impl std::os::fd::AsFd for Pidfd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as `self` is borrowed.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.raw_fd()) }
    }
}

#[cfg(feature = "std")]
impl std::os::fd::AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> i32 {
        self.raw_fd()
    }
}

#[cfg(feature = "std")]
impl From<Pidfd> for std::os::fd::OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        use std::os::fd::FromRawFd;
        // SAFETY: an open descriptor, which `into_raw` gives up.
        unsafe { Self::from_raw_fd(pidfd.0.into_raw()) }
    }
}

impl<T, S> JoinHandle<T, S> {
    /// Sends a signal to the thread (`tgkill(2)`).
    ///
    /// It never reaches another thread that the kernel gave this one's number to.
    ///
    /// # Errors
    /// ESRCH if the thread has ended; EAGAIN at RLIMIT_SIGPENDING.
    ///
    /// ```
    /// use rawthread::Signal;
    ///
    /// let thread = rawthread::spawn(rawthread::park);
    /// thread.signal(Signal::new(libc::SIGCONT)?)?; // ignored by default
    /// thread.thread().unpark();
    /// thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias("pthread_kill", "tgkill"))]
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.retire_worker_after_task();
        self.with_pinned_tid(&SIGNAL, |tid| {
            signal::send_to_thread(task::pid(), tid, signal.number())
        })
    }

    /// Returns the processor time that the thread has used (`clock_gettime(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended.
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// println!("{:?}", thread.cpu_time()?);
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "pthread_getcpuclockid")]
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        self.with_pinned_tid(&CPU_TIME, sched::thread_cpu_time)
    }

    /// Opens a descriptor for the thread, as [`open_pidfd`](Self::open_pidfd), of std's type. Feature
    /// `std`.
    ///
    /// # Errors
    /// As [`open_pidfd`](Self::open_pidfd).
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// match thread.pidfd() {
    ///     Ok(descriptor) => println!("poll {descriptor:?}"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    pub fn pidfd(&self) -> Result<std::os::fd::OwnedFd, Error> {
        self.open_pidfd().map(Into::into)
    }

    /// Opens a descriptor for the thread that polls readable when it has ended
    /// (`pidfd_open(2)` with PIDFD_THREAD, Linux 6.9).
    ///
    /// # Errors
    /// EINVAL before Linux 6.9; ESRCH if the thread has ended; EMFILE at RLIMIT_NOFILE.
    ///
    /// ```
    /// let thread = rawthread::spawn(rawthread::park);
    /// match thread.open_pidfd() {
    ///     Ok(descriptor) => println!("poll {}", descriptor.raw_fd()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # thread.thread().unpark();
    /// # thread.join().unwrap();
    /// ```
    pub fn open_pidfd(&self) -> Result<Pidfd, Error> {
        const PIDFD_THREAD: u32 = libc::O_EXCL as u32;
        // The descriptor must become ready at the task's end.
        self.retire_worker_after_task();
        self.with_pinned_tid(&PIDFD, |tid| wait::pidfd_open(tid, PIDFD_THREAD))
            // SAFETY: the call opened it for this caller.
            .map(|fd| Pidfd(unsafe { OwnedFd::from_raw(fd) }))
    }

    /// Returns the sizes of the thread's stack, and how much of it was used.
    ///
    /// ```
    /// let thread = rawthread::spawn(|| ());
    /// assert!(thread.stack().size >= 2 << 20);
    /// thread.join().unwrap();
    /// ```
    pub fn stack(&self) -> StackInfo {
        let (low, top) = self.thread().record().stack();
        StackInfo {
            size: top - low,
            guard: self.guard(),
            high_water: high_water(low, top),
        }
    }

    /// Has a worker of [`crate::warm`] exit after this task: what was sent to it or opened for it
    /// must not reach the next task. A signal that comes when the task's last handler has run would
    /// stay pending for that.
    pub(super) fn retire_worker_after_task(&self) {
        if self.is_pooled() {
            self.thread().record().state().request_exit();
        }
    }

    /// Runs `call` with the thread's tid while the thread cannot end.
    ///
    /// A thread that ends by a system call of its own waits for no pin. So the kernel's word of its end is
    /// looked at before the call, which then reaches no thread that has the number by now, and after it. What
    /// is left is an end between look and call.
    pub(super) fn with_pinned_tid<R>(
        &self,
        step: &'static Operation,
        call: impl FnOnce(i32) -> Result<R, Errno>,
    ) -> Result<R, Error> {
        let state = self.thread().record().state();
        let failed = |errno| Error::from_operation(step, errno);
        if self.is_of_another_process() {
            // Here its number may be another thread's.
            return Err(failed(Errno::ESRCH));
        }
        let pin = state
            .pin_tid(Rt::fork_generation)
            .ok_or(failed(Errno::ESRCH))?;
        // While the thread is pinned and not done, its slot is no other thread's.
        let slot = self.slot();
        let answer = if slot.has_exited() {
            Err(Errno::ESRCH)
        } else {
            call(self.tid())
        };
        let answer = if slot.has_exited() {
            Err(Errno::ESRCH)
        } else {
            answer
        };
        drop(pin);
        answer.map_err(failed)
    }
}

/// Bytes from `top` down to the lowest resident page at or above `low`.
pub(super) fn high_water(low: usize, top: usize) -> usize {
    const BATCH: usize = 256;
    let page = memory::page_size();
    let mut start = low.next_multiple_of(page);
    while start < top {
        let len = (top - start).min(BATCH * page);
        let mut pages = [0u8; BATCH];
        if memory::mincore(start as *const u8, len, &mut pages).is_err() {
            break;
        }
        if let Some(index) = pages[..len.div_ceil(page)]
            .iter()
            .position(|page| page & 1 == 1)
        {
            return top - (start + index * page).min(top);
        }
        start += len;
    }
    0
}

/// Returns how many bytes of its stack the calling thread uses, from its first frame to this call.
///
/// Returns 0 where that is not known: on a signal stack, and without libc on the main thread if the
/// feature `start` is not there or RLIMIT_STACK is unlimited.
///
/// ```
/// let shallow = rawthread::stack_usage();
/// let deep = (|| {
///     let block = std::hint::black_box([0u8; 100_000]);
///     rawthread::stack_usage() + usize::from(block[0])
/// })();
/// assert!(deep > shallow);
/// ```
#[inline(never)]
pub fn stack_usage() -> usize {
    let here = 0u8;
    let here = core::ptr::from_ref(core::hint::black_box(&here)) as usize;
    let (low, top) = current::current().stack();
    let (low, top) = if top == 0 {
        Rt::native_stack()
    } else {
        (low, top)
    };
    if (low..top).contains(&here) {
        top - here
    } else {
        0
    }
}
