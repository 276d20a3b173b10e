//! A set of threads, joined in the order in which they end.
#![allow(unsafe_code, reason = "keeps typed handles in untyped entries")]

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

use super::builder::Builder;
use super::current::Thread;
use super::join::exit_observer::ExitObserver;
use super::join::handle::{JoinHandle, SELF_JOIN};
use super::join::result::Result;
use super::join::set_entry::{ENTRIES, PendingEntry, SetEntry, SetShared, reverse};
use super::join::spin;
use super::spawn::packet::PacketHeader;
use super::spawn::prepare;
use super::spawn::raw_handle::RawHandle;
use crate::arena::ArenaEntry;
use crate::error::Error;
use crate::runtime::record::ThreadRef;
use crate::runtime::{Rt, Runtime};
use crate::sys::sched::Pauses;

/// A set of threads with results of one type, joined in the order in which they end.
///
/// The wait for any of the threads is one sleep, however many there are.
///
/// Dropping the set detaches its threads, as dropping a [`JoinHandle`] does: they run on, and their
/// results are dropped. To wait for them instead, join until [`JoinSet::join_next`] returns `None`.
///
/// Needs no allocator but for `join_all` and `try_join_all`.
///
/// # Examples
///
/// ```
/// use rawthread::JoinSet;
///
/// let mut set = JoinSet::new();
/// for n in 1..=4 {
///     set.spawn(move || n * n);
/// }
/// let mut sum = 0;
/// while let Some(square) = set.join_next() {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 30);
/// ```
pub struct JoinSet<T> {
    /// From the first spawn on.
    shared: Option<&'static ArenaEntry<SetShared>>,
    /// Collected but not yet joined: the id of the first to have ended; 0 for none.
    finished_head: u32,
    /// The id of the newest of all entries; 0 for none.
    newest: u32,
    len: usize,
    /// The process, by [`Runtime::fork_generation`], of the first spawn.
    process: u32,
    /// The process, by the same count, whose threads may have claimed the waker.
    waker_process: u32,
    /// Whether the set was polled: from then on its threads enter the queue where they can wake a task.
    is_polled: bool,
    handles: PhantomData<JoinHandle<T>>,
}

impl<T> JoinSet<T> {
    /// Creates a set without threads. Takes no memory before the first spawn.
    ///
    /// ```
    /// let set = rawthread::JoinSet::<u8>::new();
    /// assert!(set.is_empty());
    /// ```
    pub const fn new() -> Self {
        Self {
            shared: None,
            finished_head: 0,
            newest: 0,
            len: 0,
            process: 0,
            waker_process: 0,
            is_polled: false,
            handles: PhantomData,
        }
    }

    /// Returns the number of threads in the set: those spawned and not yet joined.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// set.spawn(|| ());
    /// assert_eq!(set.len(), 1);
    /// set.join_next();
    /// assert_eq!(set.len(), 0);
    /// ```
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no thread is in the set.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// set.spawn(|| ());
    /// assert!(!set.is_empty());
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Spawns a thread of this set with the defaults of [`Builder::new`].
    ///
    /// # Panics
    /// Where [`JoinSet::spawn_with`] returns an error.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// let thread = set.spawn(rawthread::park);
    /// thread.unpark();
    /// set.join_next().unwrap().unwrap();
    /// ```
    pub fn spawn<F>(&mut self, f: F) -> Thread
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.spawn_with(Builder::new(), f) {
            Ok(thread) => thread,
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }

    /// Spawns a thread of this set with the settings of `builder`.
    ///
    /// # Errors
    /// As [`Builder::try_spawn`].
    ///
    /// # Panics
    /// As [`Builder::try_spawn`].
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// let builder = rawthread::Builder::new().name("member".into());
    /// let thread = set.spawn_with(builder, || rawthread::current().id())?;
    /// assert_eq!(thread.name(), Some("member"));
    /// assert_eq!(set.join_next().unwrap().unwrap(), thread.id());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn spawn_with<F>(
        &mut self,
        mut builder: Builder,
        f: F,
    ) -> core::result::Result<Thread, Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut options = builder.options()?;
        let shared = match self.shared {
            Some(shared) => shared,
            None => {
                self.process = Rt::fork_generation();
                self.waker_process = self.process;
                *self.shared.insert(SetShared::new()?)
            }
        };
        self.reset_waker_after_fork(shared);
        let entry = SetEntry::new(shared)?;
        options.observer = ExitObserver::Set(entry);
        let pending = PendingEntry { entry, shared };
        // SAFETY: 'static outlives every thread.
        match unsafe { prepare::spawn(options, f) } {
            Ok(spawned) => {
                // The set and the thread release it.
                mem::forget(pending);
                let thread = Thread::from_record(spawned.record.clone());
                self.insert(entry, spawned);
                if self.is_polled {
                    self.hook(entry);
                }
                Ok(thread)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the first thread to end of those not yet joined, and returns its result, as
    /// [`JoinHandle::join`] does; `None` if the set is empty.
    ///
    /// Threads that have ended already are joined in the order in which they did. Sleeps once at
    /// most, and not while there are such threads.
    ///
    /// # Panics
    /// In the child of a `fork(2)`, if all threads of the set are the parent's and had not ended at
    /// the fork: they do not exist in the child. If the only thread of the set is the calling one, as
    /// [`JoinHandle::join`].
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// let slow = set.spawn(|| { rawthread::park(); "slow" });
    /// set.spawn(|| "fast");
    /// assert_eq!(set.join_next().unwrap().unwrap(), "fast");
    /// slow.unpark();
    /// assert_eq!(set.join_next().unwrap().unwrap(), "slow");
    /// assert!(set.join_next().is_none());
    /// ```
    #[track_caller]
    pub fn join_next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(result) = self.try_join_next() {
                return Some(result);
            }
            let shared = self.shared.filter(|_| self.len > 0)?;
            self.assert_of_this_process();
            if !spin::spin_until(&spin::JOINS, || !shared.queue.is_empty()) {
                assert!(
                    self.len > 1 || !self.is_own_thread(self.newest),
                    "{SELF_JOIN}"
                );
                shared.queue.wait();
            }
        }
    }

    /// Joins a thread if one has ended that was not yet joined, and returns its result; else returns
    /// `None`. Does not block.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// let thread = set.spawn(rawthread::park);
    /// assert!(set.try_join_next().is_none());
    /// thread.unpark();
    /// set.join_next().unwrap().unwrap();
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T>> {
        if self.finished_head == 0 {
            self.finished_head = reverse(self.shared?.queue.take_all());
        }
        if self.finished_head == 0 {
            return None;
        }
        let entry = ENTRIES.entry(self.finished_head);
        self.finished_head = entry.queue_link.load(Ordering::Relaxed);
        let handle = self.remove(entry);
        if self.is_polled {
            // The thread has entered the queue, so its result is there; it may still be waking a task.
            // SAFETY: what enters the queue is ready.
            return Some(unsafe { handle.into_ready_result() });
        }
        // The thread has entered the queue, so it is done: this does not wait, but for the kernel
        // to be off a stack of the caller's own.
        Some(handle.join())
    }

    /// Polls for a thread that has ended and was not yet joined: its result, or `None` if the set is empty.
    /// While there is none, the task of `context` is woken when a thread ends.
    ///
    /// The promises are those of [`JoinFuture`](crate::JoinFuture): the thread itself wakes the task. The
    /// waker of the last call is woken, after the destructors of the thread's thread-locals: a waker reaches
    /// those of std by `try_with` only, and a wake that panics is lost. Threads may be spawned into the set between calls. A set that was
    /// polled can be joined by the other methods as well. The first poll waits for threads that are exiting
    /// at that moment, as a join does.
    ///
    /// With `core::future::poll_fn` it is a future that is cancelled without loss, and with
    /// `futures::stream::poll_fn` a stream:
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use futures_util::stream::{self, StreamExt}; // also as futures::stream
    /// use rawthread::JoinSet;
    ///
    /// let mut set = JoinSet::new();
    /// for n in 1..=4 {
    ///     set.spawn(move || n * n);
    /// }
    /// let ended = stream::poll_fn(|context| set.poll_join_next(context));
    /// let sum = ended.fold(0, |sum, square| async move { sum + square.unwrap() });
    /// assert_eq!(futures_executor::block_on(sum), 30);
    /// # }
    /// ```
    ///
    /// The stream ends when the set is empty. It may be dropped and made again: the set keeps what was not
    /// returned.
    ///
    /// # Panics
    /// As [`JoinSet::join_next`].
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use rawthread::JoinSet;
    /// use std::future::poll_fn;
    ///
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     struct Unpark(rawthread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(rawthread::current())).into();
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
    /// #             std::task::Poll::Ready(output) => return output,
    /// #             std::task::Poll::Pending => rawthread::park(),
    /// #         }
    /// #     }
    /// # }
    /// let mut set: JoinSet<i32> = JoinSet::new();
    /// for n in 1..=4 {
    ///     set.spawn(move || n * n);
    /// }
    /// let sum = block_on(async {
    ///     let mut sum = 0;
    ///     while let Some(square) = poll_fn(|context| set.poll_join_next(context)).await {
    ///         sum += square.unwrap();
    ///     }
    ///     sum
    /// });
    /// assert_eq!(sum, 30);
    /// # }
    /// ```
    #[track_caller]
    pub fn poll_join_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let Some(shared) = self.shared.filter(|_| self.len > 0) else {
            return Poll::Ready(None);
        };
        if !core::mem::replace(&mut self.is_polled, true) {
            let mut number = self.newest;
            while number != 0 {
                let entry = ENTRIES.entry(number);
                self.hook(entry);
                number = entry.prev.load(Ordering::Relaxed);
            }
        }
        if let Some(result) = self.try_join_next() {
            return Poll::Ready(Some(result));
        }
        self.assert_of_this_process();
        self.reset_waker_after_fork(shared);
        // WAKER-1: register, then look again.
        shared.waker.register(context.waker());
        match self.try_join_next() {
            Some(result) => Poll::Ready(Some(result)),
            None => Poll::Pending,
        }
    }

    /// Has the entry's thread enter the queue where it can wake a task. A thread that is past that place
    /// enters the queue within its last steps, which are waited for; the task is woken here in its place.
    fn hook(&self, entry: &'static ArenaEntry<SetEntry>) {
        let head = entry.head.load(Ordering::Relaxed).cast::<PacketHeader>();
        let record = entry.record.load(Ordering::Relaxed).cast_const();
        // SAFETY: the entry has the set's reference until it is removed; the set is the thread's one handle,
        // and hooks it once. The hook's entry has the thread's half until the thread is done.
        let is_late = unsafe { (*record).arm_hook(SetEntry::hook(entry)) }.is_err();
        // SAFETY: the packet of an entry stays until the entry is removed.
        if !is_late || !Rt::cache().owns(unsafe { &*head }.slot()) {
            return;
        }
        let mut pauses = Pauses::new();
        while !entry.is_left_by_thread() {
            pauses.pause();
        }
        if let Some(shared) = self.shared {
            shared.waker.wake();
        }
    }

    #[track_caller]
    fn assert_of_this_process(&self) {
        assert!(
            self.process == Rt::fork_generation() || self.has_threads_of_this_process(),
            "failed to join thread: all of the set are of the process that this one was forked from"
        );
    }

    /// In the child of a fork no thread that claimed the waker is there. Each spawn asks, so none of this
    /// process has claimed it before.
    fn reset_waker_after_fork(&mut self, shared: &SetShared) {
        let process = Rt::fork_generation();
        if core::mem::replace(&mut self.waker_process, process) != process {
            shared.waker.reset();
        }
    }

    /// Whether an entry's thread is the calling one.
    fn is_own_thread(&self, entry: u32) -> bool {
        let record = ENTRIES.entry(entry).record.load(Ordering::Relaxed);
        core::ptr::eq(record, Rt::current())
    }

    /// Whether any thread of the set is one of this process, which can still end.
    fn has_threads_of_this_process(&self) -> bool {
        let mut number = self.newest;
        while number != 0 {
            let entry = ENTRIES.entry(number);
            let head = entry.head.load(Ordering::Relaxed).cast::<PacketHeader>();
            // SAFETY: the packet of an entry stays until the entry is removed.
            if Rt::cache().owns(unsafe { &*head }.slot()) {
                return true;
            }
            number = entry.prev.load(Ordering::Relaxed);
        }
        false
    }

    /// Links the entry of a new thread into the list of all entries.
    fn insert(&mut self, entry: &'static ArenaEntry<SetEntry>, spawned: RawHandle<T>) {
        entry
            .record
            .store(spawned.record.into_raw().cast_mut(), Ordering::Relaxed);
        entry
            .head
            .store(spawned.head.as_ptr().cast(), Ordering::Relaxed);
        entry
            .result
            .store(spawned.result.as_ptr().cast(), Ordering::Relaxed);
        entry.next.store(0, Ordering::Relaxed);
        entry.prev.store(self.newest, Ordering::Relaxed);
        if self.newest != 0 {
            let prev = ENTRIES.entry(self.newest);
            prev.next.store(entry.id(), Ordering::Relaxed);
        }
        self.newest = entry.id();
        self.len += 1;
    }

    /// Unlinks and releases an entry, and makes its parts a handle.
    fn remove(&mut self, entry: &'static ArenaEntry<SetEntry>) -> JoinHandle<T> {
        let (next, prev) = (
            entry.next.load(Ordering::Relaxed),
            entry.prev.load(Ordering::Relaxed),
        );
        match next {
            0 => self.newest = prev,
            next => ENTRIES.entry(next).prev.store(prev, Ordering::Relaxed),
        }
        if prev != 0 {
            ENTRIES.entry(prev).next.store(next, Ordering::Relaxed);
        }
        self.len -= 1;
        // SAFETY: `insert` left the parts of a `RawHandle<T>` of this set's type; the entry is
        // unlinked here, so they are put together once.
        let handle = unsafe {
            JoinHandle::new(RawHandle {
                record: ThreadRef::from_raw(entry.record.load(Ordering::Relaxed)),
                head: NonNull::new_unchecked(entry.head.load(Ordering::Relaxed).cast()),
                result: NonNull::new_unchecked(entry.result.load(Ordering::Relaxed).cast()),
            })
        };
        SetEntry::release_half(entry);
        handle
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        /// Goes on where the drop of a result panicked.
        struct Detach<'a, T>(&'a mut JoinSet<T>);
        impl<T> Detach<'_, T> {
            fn all(&mut self) {
                while self.0.newest != 0 {
                    drop(self.0.remove(ENTRIES.entry(self.0.newest)));
                }
                if let Some(shared) = self.0.shared.take() {
                    let waker = self.0.is_polled.then(|| shared.waker.claim());
                    SetShared::unref(shared);
                    drop(waker);
                }
            }
        }
        impl<T> Drop for Detach<'_, T> {
            fn drop(&mut self) {
                self.all();
            }
        }
        Detach(self).all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
