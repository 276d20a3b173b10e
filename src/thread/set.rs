//! A set of threads, joined in the order in which they end.
#![allow(unsafe_code, reason = "keeps typed handles in untyped entries")]

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::builder::Builder;
use super::current::Thread;
use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
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

/// A set of threads with results of one type, joined in the order in which they end.
///
/// The wait for any of the threads is one sleep, however many there are.
///
/// Dropping the set detaches its threads, as dropping a [`JoinHandle`] does: they run on, and their
/// results are dropped. To wait for them instead, join until [`JoinSet::join_next`] returns `None`.
///
/// Needs no allocator but for `join_all`.
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
                *self.shared.insert(SetShared::new()?)
            }
        };
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
    /// the fork: they do not exist in the child.
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
            assert!(
                self.process == Rt::fork_generation() || self.has_threads_of_this_process(),
                "failed to join thread: all of the set are of the process that this one was \
                 forked from"
            );
            if !spin::spin_until(&spin::JOINS, || !shared.queue.is_empty()) {
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
        // The thread has entered the queue, so it is done: this does not wait, but for the kernel
        // to be off a stack of the caller's own.
        Some(self.remove(entry).join())
    }

    /// Waits for all threads of the set and returns their results, in the order in which the threads
    /// ended. The set is empty then and can be used again. Feature `alloc`.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// for n in 0..10 {
    ///     set.spawn(move || n);
    /// }
    /// let sum: i32 = set.join_all().into_iter().map(|n| n.unwrap()).sum();
    /// assert_eq!(sum, 45);
    /// ```
    #[cfg(feature = "alloc")]
    pub fn join_all(&mut self) -> alloc::vec::Vec<Result<T>> {
        let mut results = alloc::vec::Vec::with_capacity(self.len);
        results.extend(core::iter::from_fn(|| self.join_next()));
        results
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
                    SetShared::unref(shared);
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
