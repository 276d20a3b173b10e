//! The handle: joins a thread or detaches it.
//!
//! Invariants:
//! * HANDLE-1: The handle keeps the packet, and with it the slot of a thread that has one of its own
//!   (SLOT-1), until it is joined or dropped, so the result's memory stays.
//! * HANDLE-3: A thread has one handle, and its methods that touch the hook are called by its one owner.
//! * HANDLE-2: Only the handle takes or drops a result once `COMPLETE` was set without `DETACHED`.
#![allow(unsafe_code, reason = "takes results out of slots")]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::time::Duration;

use super::membership::{Membership, NoScope};
use super::result::Result;
use super::spin;
use crate::runtime::ready_hook::ReadyHook;
use crate::runtime::record::ThreadRef;
use crate::runtime::state::LastUser;
use crate::runtime::{Rt, Runtime, Slot};
use crate::stack::cache;
use crate::sys::futex::Deadline;
use crate::sys::sched::Pauses;
use crate::sys::{signal, task};
use crate::thread::current::Thread;
use crate::thread::spawn::packet::PacketHeader;
use crate::thread::spawn::raw_handle::RawHandle;

/// The message of std's panic: EDEADLK of `pthread_join(3)`.
pub(in crate::thread) const SELF_JOIN: &str =
    "failed to join thread: Resource deadlock avoided (os error 35)";

/// A thread that was ended from outside never says that it is done. std panics, too.
const NO_RESULT: &str = "failed to join thread: it ended without a result, by a system call of its own or a seccomp filter";

/// Owns the permission to join a thread.
///
/// Dropping the handle detaches the thread: it runs on, its result is dropped when it ends, and
/// nothing can join it any more. The process does not wait for it: threads that still run when the
/// process exits are stopped where they are.
///
/// Made by [`spawn`](fn@crate::spawn), [`Builder::try_spawn`](crate::Builder::try_spawn) and
/// [`warm::spawn`](fn@crate::warm::spawn). Beside what std's has, it waits with a time limit
/// ([`join_timeout`](Self::join_timeout)) and acts on the kernel's thread ([`tid`](Self::tid),
/// [`signal`](Self::signal), [`open_pidfd`](Self::open_pidfd)). In a task of an executor, `handle.await` waits
/// for it ([`JoinFuture`](crate::JoinFuture)).
///
/// `S` says whether the thread belongs to a scope; [`ScopedJoinHandle`](crate::ScopedJoinHandle) is the
/// handle of one that does, and has the same methods. `JoinHandle<T>` belongs to none.
///
/// ```
/// let handle = rawthread::spawn(|| "done");
/// println!("thread {} runs", handle.tid());
/// assert_eq!(handle.join().unwrap(), "done");
/// ```
pub struct JoinHandle<T, S = NoScope> {
    thread: Thread,
    head: NonNull<PacketHeader>,
    result: NonNull<Result<T>>,
    scope: S,
}

// SAFETY: the handle gives its owner a `T` that was required to be `Send` when the thread was
// made; everything else in it is shared by design. As std's.
unsafe impl<T, S: Send> Send for JoinHandle<T, S> {}
// SAFETY: a shared handle gives no access to the `T`.
unsafe impl<T, S: Sync> Sync for JoinHandle<T, S> {}

impl<T> JoinHandle<T> {
    pub(in crate::thread) fn new(spawned: RawHandle<T>) -> Self {
        Self::with_scope(spawned, NoScope)
    }
}

/// Joining.
impl<T, S: Membership> JoinHandle<T, S> {
    /// Waits for the thread to finish and returns its result.
    ///
    /// When it returns, the destructors of the thread's thread-locals have run, and all that the thread wrote is
    /// visible to the caller.
    ///
    /// The kernel may list the thread for some microseconds more: `/proc/self/task` may show it, and
    /// `unshare(CLONE_NEWUSER)`, which only a process of one thread may call, may be refused (3 times of 900 on a
    /// busy machine; `tests/regressions/reaped.rs`). [`JoinHandle::join_reaped`] waits for that, too.
    ///
    /// # Errors
    /// The closure panicked: the payload of the panic.
    ///
    /// # Panics
    /// In the child of a `fork(2)`, if the thread is one of the parent's that had not ended at the
    /// fork: it does not exist in the child. The other joins do the same.
    ///
    /// If a thread joins itself (EDEADLK, as with std): the panic drops the handle, so the thread is detached.
    /// Threads that join each other in a circle wait without end. std panics where the circle is of two threads.
    ///
    /// If the thread ended without a result, by exit(2) itself or by a seccomp filter that kills threads (seccomp(2)),
    /// as with std. A task of `warm` that ended so, a scope and a `JoinSet` wait without end, and so does the join of musl's own
    /// threads.
    ///
    /// ```
    /// let handle = rawthread::spawn(|| -> i32 { panic!("no") });
    /// let payload = handle.join().unwrap_err();
    /// assert_eq!(payload.downcast_ref::<&str>(), Some(&"no"));
    /// ```
    #[doc(alias = "pthread_join")]
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.wait(None);
        // SAFETY: the thread is done.
        unsafe { self.into_result() }
    }

    /// Waits as [`JoinHandle::join`] does, and until the kernel has removed the thread.
    ///
    /// Then `/proc/self/task` does not show it, and `unshare(2)` with `CLONE_NEWUSER` or another flag
    /// that asks for a process of one thread does not count it. The kernel thread of a task of
    /// [`warm`](crate::warm) goes on, and is not waited for.
    ///
    /// Costs a system call, and more where the thread has not exited yet; `join` does without. It
    /// waits for a second at most: if the id still belongs to a thread then, it is another's.
    ///
    /// # Errors
    /// The closure panicked.
    ///
    /// ```
    /// let handle = rawthread::spawn(|| 7);
    /// let task = format!("/proc/self/task/{}", handle.tid());
    /// assert_eq!(handle.join_reaped().unwrap(), 7);
    /// assert!(!std::path::Path::new(&task).exists());
    /// ```
    #[track_caller]
    pub fn join_reaped(self) -> Result<T> {
        let tid = (!self.is_pooled()).then(|| self.tid());
        let result = self.join();
        if let Some(tid) = tid {
            wait_until_reaped(tid);
        }
        result
    }

    /// Joins the thread if it is done; else returns the handle. Does not block.
    ///
    /// # Errors
    /// The thread is not done: the handle.
    ///
    /// ```
    /// let handle = rawthread::spawn(rawthread::park);
    /// let handle = handle.try_join().unwrap_err();
    /// handle.thread().unpark();
    /// handle.join().unwrap();
    /// ```
    #[doc(alias = "pthread_tryjoin_np")]
    #[track_caller]
    pub fn try_join(self) -> core::result::Result<Result<T>, Self> {
        if self.is_finished() {
            // SAFETY: the thread is done.
            Ok(unsafe { self.into_result() })
        } else {
            self.assert_of_this_process();
            Err(self)
        }
    }

    /// Joins the thread if it is done within `timeout` (CLOCK_MONOTONIC); else returns the handle.
    ///
    /// A timeout beyond the range of the clock waits as `join` does.
    ///
    /// # Errors
    /// The thread was not done in time: the handle.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let handle = rawthread::spawn(rawthread::park);
    /// let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    /// handle.thread().unpark();
    /// handle.join_timeout(Duration::MAX).unwrap().unwrap();
    /// ```
    #[doc(alias = "pthread_timedjoin_np")]
    #[track_caller]
    pub fn join_timeout(self, timeout: Duration) -> core::result::Result<Result<T>, Self> {
        if self.wait(Deadline::after(timeout)) {
            // SAFETY: the thread is done.
            Ok(unsafe { self.into_result() })
        } else {
            Err(self)
        }
    }

    /// Joins the thread if it is done before `deadline`; else returns the handle. Feature `std`.
    ///
    /// # Errors
    /// The thread was not done in time: the handle.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let handle = rawthread::spawn(rawthread::park);
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// let handle = handle.join_deadline(soon).unwrap_err();
    /// assert!(Instant::now() >= soon);
    /// handle.thread().unpark();
    /// handle.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn join_deadline(
        self,
        deadline: std::time::Instant,
    ) -> core::result::Result<Result<T>, Self> {
        // The clock is read again later, so what is left now does not end before the deadline.
        self.join_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Takes the result of a thread that may still be ending, and leaves the packet to it if it is.
    ///
    /// # Safety
    /// [`JoinHandle::is_ready`] was seen.
    pub(in crate::thread) unsafe fn into_ready_result(self) -> Result<T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `READY` comes after `COMPLETE`, so by HANDLE-1 and HANDLE-2 the result is there, and
        // taken once, for `this` is not dropped.
        let result = unsafe { this.result.read() };
        if this.record().state().detach() == LastUser::Yes {
            // SAFETY: the thread was done first, so the handle is the last.
            unsafe { PacketHeader::release(this.head) };
        }
        // SAFETY: the field is moved out once.
        drop(unsafe { core::ptr::read(&this.thread) });
        this.scope.take_result(result)
    }

    /// Takes the result and releases the packet.
    ///
    /// # Safety
    /// `DONE` was seen.
    unsafe fn into_result(self) -> Result<T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: by HANDLE-1 and HANDLE-2 the result is there, and taken once, for `this` is not
        // dropped.
        let result = unsafe { this.result.read() };
        // SAFETY: the thread is done, so the handle is the last; it does not use the packet again.
        unsafe { PacketHeader::release(this.head) };
        // SAFETY: the field is moved out once.
        drop(unsafe { core::ptr::read(&this.thread) });
        this.scope.take_result(result)
    }
}

/// What it takes no result for.
impl<T, S> JoinHandle<T, S> {
    pub(in crate::thread) fn with_scope(spawned: RawHandle<T>, scope: S) -> Self {
        Self {
            thread: Thread::from_record(spawned.record),
            head: spawned.head,
            result: spawned.result,
            scope,
        }
    }

    fn record(&self) -> &ThreadRef {
        self.thread.record()
    }

    /// Sleeps until the thread is done, after a short spin where that can help; false if the
    /// deadline came first.
    #[track_caller]
    fn wait(&self, deadline: Option<Deadline>) -> bool {
        // libc's join waits for more than the thread's being done.
        let joined_by_libc =
            deadline.is_none() && Rt::is_served_by_libc() && !self.is_of_another_process();
        if !joined_by_libc && spin::spin_until(&spin::JOINS, || self.is_finished()) {
            return true;
        }
        self.assert_of_this_process();
        assert!(
            deadline.is_some() || Rt::current() != self.record().as_raw(),
            "{SELF_JOIN}"
        );
        let packet = self.packet();
        // SAFETY: the handle, whose owner calls this: the joins consume it.
        if !unsafe { (packet.ops().wait)(packet, deadline) } {
            return self.is_finished();
        }
        // The kernel, or the thread of a lost slot, clears the word after the thread set DONE, and a task
        // has set it, unless the thread did not end here.
        assert!(self.is_finished(), "{NO_RESULT}");
        true
    }

    /// Whether this process was forked from the one whose thread this is.
    pub(in crate::thread) fn is_of_another_process(&self) -> bool {
        !Rt::cache().owns(self.slot())
    }

    #[track_caller]
    pub(in crate::thread) fn assert_of_this_process(&self) {
        assert!(
            !self.is_of_another_process(),
            "failed to join thread: it is a thread of the process that this one was forked from"
        );
    }

    /// Bytes of guard below the thread's stack; 0 on memory of the caller's own.
    pub(in crate::thread) fn guard(&self) -> usize {
        // A worker has the default guard, and its slot is not this handle's to look at.
        if self.is_pooled() {
            return cache::default_guard();
        }
        let region = self.slot().region();
        let on_slot = self.record().stack().0 == region.stack().0 as usize;
        if on_slot { region.guard().1 } else { 0 }
    }

    pub(in crate::thread) fn slot(&self) -> Slot {
        self.packet().slot()
    }

    fn packet(&self) -> &PacketHeader {
        // SAFETY: by HANDLE-1 the packet stays while the handle exists.
        unsafe { self.head.as_ref() }
    }

    /// Whether the thread is a worker of the pool, which may outlive its task.
    pub(in crate::thread) fn is_pooled(&self) -> bool {
        self.packet().ops().is_pooled
    }

    /// Whether a future may take the result: the destructors have run, and the thread may still exist.
    pub(in crate::thread) fn is_ready(&self) -> bool {
        self.record().state().is_ready()
    }

    /// Has the thread call `hook` when [`JoinHandle::is_ready`] becomes true.
    ///
    /// # Errors
    /// It is true already.
    ///
    /// # Safety
    /// No hook of this handle's is set; `hook` may be called once on any thread.
    pub(in crate::thread) unsafe fn arm_hook(
        &self,
        hook: ReadyHook,
    ) -> core::result::Result<(), ()> {
        // SAFETY: HANDLE-3: the thread has one handle, and passed on.
        unsafe { self.record().arm_hook(hook) }
    }

    /// Takes the hook back; `None` if the thread calls it.
    ///
    /// # Safety
    /// A hook of this handle's is set.
    pub(in crate::thread) unsafe fn disarm_hook(&self) -> Option<ReadyHook> {
        // SAFETY: HANDLE-3, and passed on.
        unsafe { self.record().disarm_hook() }
    }

    /// The words of the hook that was set.
    ///
    /// # Safety
    /// A hook of this handle's was set.
    pub(in crate::thread) unsafe fn hook_words(&self) -> [*const (); 2] {
        // SAFETY: HANDLE-3, and passed on.
        unsafe { self.record().hook_words() }
    }

    /// Returns the [`Thread`] of this handle: its id, its name, and a way to unpark it.
    ///
    /// ```
    /// let handle = rawthread::spawn(rawthread::park);
    /// handle.thread().unpark();
    /// handle.join().unwrap();
    /// ```
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Returns whether the thread is done, its thread-local destructors included: a join will not
    /// wait. Does not block.
    ///
    /// ```
    /// let handle = rawthread::spawn(|| ());
    /// while !handle.is_finished() {
    ///     rawthread::yield_now();
    /// }
    /// handle.join().unwrap();
    /// ```
    pub fn is_finished(&self) -> bool {
        self.record().state().is_done()
            && (!self.packet().ops().must_exit
                || self.is_of_another_process()
                // SAFETY: the handle; a join or a drop, which detaches, would have it.
                || unsafe { Rt::has_left_stack(self.slot()) })
    }

    /// Returns the thread's id in the kernel (`gettid(2)`), which is known as soon as the handle
    /// exists.
    ///
    /// The kernel may give the number to another thread once this one has ended.
    ///
    /// ```
    /// let handle = rawthread::spawn(|| unsafe { libc::gettid() });
    /// let tid = handle.tid();
    /// assert_eq!(handle.join().unwrap(), tid);
    /// ```
    pub fn tid(&self) -> i32 {
        self.record().tid()
    }
}

impl<T, S> Drop for JoinHandle<T, S> {
    fn drop(&mut self) {
        /// Gives up the handle's share even if dropping the result panics.
        struct Detach<'a, T, S>(&'a JoinHandle<T, S>);
        impl<T, S> Drop for Detach<'_, T, S> {
            fn drop(&mut self) {
                if self.0.record().state().detach() == LastUser::Yes {
                    // SAFETY: the thread was done first, so the handle is the last.
                    unsafe { PacketHeader::release(self.0.head) };
                }
            }
        }
        if self.record().state().try_detach_running() {
            return;
        }
        let detach = Detach(self);
        // SAFETY: COMPLETE was set without DETACHED, so by HANDLE-2 the result is there and the
        // handle's; the packet stays until `detach` is dropped.
        unsafe { self.result.drop_in_place() };
        drop(detach);
    }
}

impl<T, S: Membership> fmt::Debug for JoinHandle<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::HANDLE)
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

/// Returns when no thread of this process has the id, or after a second.
fn wait_until_reaped(tid: i32) {
    let (pid, mut pauses) = (task::pid(), Pauses::new());
    let deadline = Deadline::after(Duration::from_secs(1));
    while signal::send_to_thread(pid, tid, 0).is_ok()
        && !deadline.is_some_and(|deadline| deadline.has_passed())
    {
        pauses.pause();
    }
}
