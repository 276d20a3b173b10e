//! Every live thread of the crate.
//!
//! A record is permanent memory, so the list is a walk over all records that takes a reference to
//! each that is in use. A reference keeps id and name as they are. What is asked of the kernel needs
//! more: that the tid is still the thread's. So each question pins the tid (`State::pin_tid`): the
//! thread does not exit while it is asked.
#![allow(unsafe_code, reason = "gives the slots of records their type")]

use core::fmt;
use core::time::Duration;

use super::current::{Thread, ThreadId};
use super::inspect::{StackInfo, high_water};
use crate::error::{Error, Operation};
use crate::runtime::record::{self, ThreadRef};
use crate::runtime::{Rt, Runtime, Slot, occupant};
use crate::sys::{Errno, sched, task_file};

static CPU_TIME: Operation = Operation {
    name: "clock_gettime",
    purpose: "read the thread's processor time",
    hint: ended,
};

static STACK: Operation = Operation {
    name: "mincore",
    purpose: "look at the thread's stack",
    hint: ended,
};

static STATE: Operation = Operation {
    name: "read",
    purpose: "read the thread's state in /proc",
    hint: |errno| match errno {
        Errno::ESRCH => "It has ended.",
        _ => "See proc(5): without /proc the kernel does not say it.",
    },
};

fn ended(errno: Errno) -> &'static str {
    match errno {
        Errno::ESRCH => "It has ended.",
        _ => "See the manual page of the call.",
    }
}

/// Returns an iterator over every live thread of this crate.
///
/// Among them are the threads of [`spawn`](fn@crate::spawn), [`Builder`](crate::Builder), scopes and
/// sets, detached ones included, tasks of [`warm`](mod@crate::warm), and its idle workers
/// ([`ThreadInfo::is_idle_worker`]). The main thread and threads that others made are not: the crate
/// cannot know when they end.
///
/// A thread that lives from the call to the end of the walk is found exactly once; one that begins
/// or ends meanwhile may be found or not. A [`ThreadInfo`] keeps to the thread for which it was made: once that has
/// ended, its methods return an error, also if the kernel has given the tid to another thread.
///
/// The walk makes no system call, takes no lock, allocates nothing and delays no other thread. The methods of
/// [`ThreadInfo`] make system calls, and each says how many: all of them some six a thread, of which
/// [`state`](ThreadInfo::state) makes three and takes three quarters of the time (docs/performance.md has
/// 10,000 threads). In a forked child the parent's threads are not found.
///
/// ```
/// let worker = rawthread::Builder::new().name("worker".into()).spawn(rawthread::park)?;
/// let found = rawthread::threads()
///     .find(|thread| thread.id() == worker.thread().id())
///     .expect("it lives");
/// assert_eq!((found.name(), found.tid()), (Some("worker"), worker.tid()));
/// println!("{:?}, {:?}, {:?}", found.state(), found.cpu_time(), found.stack());
///
/// worker.thread().unpark();
/// worker.join().unwrap();
/// assert_eq!(found.cpu_time().unwrap_err().raw_os_error(), Some(libc::ESRCH));
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn threads() -> Threads {
    Threads {
        next: 1,
        last: record::last_id(),
        fork_noticed: false,
    }
}

/// The iterator that [`threads`] returns.
///
/// ```
/// let threads: rawthread::Threads = rawthread::threads();
/// println!("{} threads", threads.count());
/// ```
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct Threads {
    next: u32,
    last: u32,
    fork_noticed: bool,
}

impl Iterator for Threads {
    type Item = ThreadInfo;

    fn next(&mut self) -> Option<ThreadInfo> {
        while self.next <= self.last {
            let id = self.next;
            self.next += 1;
            let Some(record) = ThreadRef::of_id(id) else {
                continue;
            };
            if slot_of(&record).is_none() {
                continue; // not a thread of this crate's
            }
            if !self.fork_noticed {
                // An error is for a spawn: the fork is noticed all the same.
                let _ = Rt::ensure_init();
                self.fork_noticed = true;
            }
            let info = ThreadInfo {
                thread: Thread::from_record(record),
            };
            if info.with_pinned_tid(|_| Ok(())).is_ok() {
                return Some(info);
            }
        }
        None
    }
}

/// A thread that [`threads`] found.
///
/// It keeps id and name; the thread may end at any time, after which the methods that ask the kernel
/// return ESRCH.
///
/// ```
/// for thread in rawthread::threads() {
///     println!("{} {:?}", thread.tid(), thread.name());
/// }
/// ```
#[derive(Clone)]
pub struct ThreadInfo {
    thread: Thread,
}

impl ThreadInfo {
    /// Returns the handle of the thread: its id, name and parking token.
    ///
    /// ```
    /// for found in rawthread::threads() {
    ///     assert_eq!(found.thread().id(), found.id());
    /// }
    /// ```
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Returns the thread's id, as [`Thread::id`] does.
    ///
    /// ```
    /// let ids: Vec<_> = rawthread::threads().map(|thread| thread.id()).collect();
    /// println!("{ids:?}");
    /// ```
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.thread.id()
    }

    /// Returns the whole name that the thread was given, if any; the kernel keeps 15 bytes of it.
    ///
    /// ```
    /// let unnamed = rawthread::threads().filter(|thread| thread.name().is_none()).count();
    /// println!("{unnamed} have no name");
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.thread.name()
    }

    /// Returns the kernel's id of the thread, which is another thread's when this one has ended.
    ///
    /// ```
    /// println!("{:?}", rawthread::threads().map(|thread| thread.tid()).max());
    /// ```
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.record().tid()
    }

    /// Returns whether this is a kernel thread of [`warm`](mod@crate::warm) that waits for a task.
    /// One that runs a task is found as that; to an item that was found before, it has ended.
    ///
    /// ```
    /// let idle = rawthread::threads().filter(|thread| thread.is_idle_worker()).count();
    /// println!("{idle} workers wait");
    /// ```
    #[must_use]
    pub fn is_idle_worker(&self) -> bool {
        self.record().state().is_worker()
    }

    /// Returns the processor time that the thread has used: of a task, its worker's, with what
    /// earlier tasks used. One system call (`clock_gettime(2)`).
    ///
    /// # Errors
    /// ESRCH if the thread has ended.
    ///
    /// ```
    /// let total: std::time::Duration =
    ///     rawthread::threads().filter_map(|thread| thread.cpu_time().ok()).sum();
    /// println!("{total:?}");
    /// ```
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        self.ask(&CPU_TIME, sched::thread_cpu_time)
    }

    /// Returns the sizes of the thread's stack, and how much of it was used. One system call
    /// (`mincore(2)`) for each MiB from the stack's end up to the deepest page that was touched.
    ///
    /// # Errors
    /// ESRCH if the thread has ended.
    ///
    /// ```
    /// let touched: usize = rawthread::threads()
    ///     .filter_map(|thread| thread.stack().ok())
    ///     .map(|stack| stack.high_water)
    ///     .sum();
    /// println!("{touched} bytes");
    /// ```
    pub fn stack(&self) -> Result<StackInfo, Error> {
        self.ask(&STACK, |_| {
            let (low, top) = self.record().stack();
            if low == 0 || top < low {
                return Err(Errno::ESRCH); // a task that a worker is about to begin
            }
            let guard = slot_of(self.record()).map_or(0, |slot| {
                let region = slot.region();
                let on_slot = low == region.stack().0 as usize;
                if on_slot { region.guard().1 } else { 0 }
            });
            Ok(StackInfo {
                size: top - low,
                guard,
                high_water: high_water(low, top),
            })
        })
    }

    /// Returns what the kernel says the thread is doing. Three system calls, on
    /// `/proc/self/task/TID/stat` (proc(5)).
    ///
    /// # Errors
    /// ESRCH if the thread has ended; what the kernel says if `/proc` is not mounted, or at
    /// RLIMIT_NOFILE.
    ///
    /// ```
    /// use rawthread::ThreadState;
    ///
    /// let running = rawthread::threads()
    ///     .filter(|thread| matches!(thread.state(), Ok(ThreadState::Running)))
    ///     .count();
    /// println!("{running} run or are ready to");
    /// ```
    pub fn state(&self) -> Result<ThreadState, Error> {
        self.ask(&STATE, |tid| {
            let mut buffer = [0; 128];
            let stat = task_file::read(tid, "stat", &mut buffer)?;
            ThreadState::parse(stat).ok_or(Errno::new(libc::EIO))
        })
    }

    fn record(&self) -> &ThreadRef {
        self.thread.record()
    }

    fn ask<R>(
        &self,
        operation: &'static Operation,
        call: impl FnOnce(i32) -> Result<R, Errno>,
    ) -> Result<R, Error> {
        self.with_pinned_tid(call)
            .map_err(|errno| Error::from_operation(operation, errno))
    }

    /// Runs `call` with the thread's tid while the thread cannot end; ESRCH if it has.
    pub(super) fn with_pinned_tid<R>(
        &self,
        call: impl FnOnce(i32) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let record = self.record();
        let slot = slot_of(record).ok_or(Errno::ESRCH)?;
        if !Rt::cache().owns(slot) {
            return Err(Errno::ESRCH); // of the process that this one was forked from
        }
        // Before the pin, too: the end of a worker's task need not wait for who asks about the worker.
        if !is_current(record, slot) {
            return Err(Errno::ESRCH);
        }
        let pin = record
            .state()
            .pin_tid(Rt::fork_generation)
            .ok_or(Errno::ESRCH)?;
        let answer = match record.tid() {
            // Before its first step; or its worker is running or awaiting another task.
            0 => Err(Errno::ESRCH),
            _ if !is_current(record, slot) => Err(Errno::ESRCH),
            tid => call(tid),
        };
        // A thread that ended by a system call of its own never waits for pins: but then the kernel
        // has cleared the slot's word, and did so before the tid could be another's.
        let exited = slot.has_exited();
        drop(pin);
        if exited { Err(Errno::ESRCH) } else { answer }
    }
}

/// The slot of a thread of this crate; `None` of others.
fn slot_of(record: &ThreadRef) -> Option<Slot> {
    // SAFETY: the type of the runtime's slots.
    unsafe { occupant::slot_of(record) }
}

/// Whether the record is the one that the thread on the slot goes by now: a worker has two.
fn is_current(record: &ThreadRef, slot: Slot) -> bool {
    occupant::occupant(slot).is_some_and(|current| core::ptr::eq(current, record.inner()))
}

impl fmt::Debug for ThreadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadInfo")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("tid", &self.tid())
            .finish_non_exhaustive()
    }
}

/// What a thread is doing, as the kernel says it (proc(5), `fs/proc/array.c`).
///
/// ```
/// assert_eq!(rawthread::ThreadState::Sleeping.to_string(), "sleeping");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadState {
    /// `R`: runs, or is ready to.
    Running,
    /// `S`: waits, and a signal would wake it.
    Sleeping,
    /// `D`: waits, for a device mostly, and no signal wakes it.
    Uninterruptible,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `X` or `Z`: is leaving the kernel.
    Ending,
    /// Another letter.
    Other(char),
}

impl ThreadState {
    /// Of a line of `stat`: the letter after the name, which may contain anything.
    pub(super) fn parse(stat: &[u8]) -> Option<Self> {
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let letter = *stat.get(end + 1..)?.trim_ascii_start().first()?;
        Some(match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::Uninterruptible,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'X' | b'Z' => Self::Ending,
            other => Self::Other(char::from(other)),
        })
    }
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Uninterruptible => "uninterruptible",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Ending => "ending",
            Self::Other(_) => "other",
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_hide_the_state() {
        let state = |line: &str| ThreadState::parse(line.as_bytes());
        assert_eq!(state("12 (a) S 1 2"), Some(ThreadState::Sleeping));
        assert_eq!(
            state("12 () R) (x) D 1"),
            Some(ThreadState::Uninterruptible)
        );
        assert_eq!(state("12 (a) I 1"), Some(ThreadState::Other('I')));
        assert_eq!(state("12 (a)"), None);
        assert_eq!(state(""), None);
    }
    /// The kernel writes any name between the parentheses: that of a thread may hold all bytes but NUL.
    #[test]
    fn any_name_leaves_the_letter() {
        use std::format;
        use std::vec::Vec;
        crate::primitive::cases::cases(5_000, |random| {
            let name: Vec<u8> = (0..random.below(16))
                .map(|_| random.of(b") (SRDTtXZ\n\x01\xffab"))
                .collect();
            let letter = random.of(b"RSDTtXZI");
            let rest = format!(") {} 1 2 3 -1 4194304", char::from(letter));
            let line = [b"4194304 (", &name[..], rest.as_bytes()].concat();
            let bare = format!("1 (a) {}", char::from(letter));
            assert_eq!(
                ThreadState::parse(&line),
                ThreadState::parse(bare.as_bytes()),
                "{name:?}"
            );
            let cut = random.below(line.len());
            // No panic, whatever is missing.
            let _ = ThreadState::parse(&line[..cut]);
        });
    }
}
