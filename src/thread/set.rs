//! A set of threads, joined in the order in which they end.
#![allow(unsafe_code, reason = "keeps handles of one type in cells of none")]

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::builder::Builder;
use super::current::Thread;
use super::handle::JoinHandle;
use super::packet::{Head, Result};
use super::patience;
use super::queue::Queue;
use super::spawn::{self as launch, Spawned};
use super::watch::Watch;
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::diagnosis;
use crate::error::Error;
use crate::primitive::atomic::AtomicU32 as Link;
use crate::runtime::record::ThreadRef;

/// What a set and its threads share. Permanent memory, counted: a thread that outlives its set
/// still finds the queue it was told of.
struct Block {
    queue: Queue,
    /// The set, and each thread that has not entered the queue yet.
    refs: AtomicU32,
}

/// One thread's place in a set. It has two owners, the set and the thread; the second to let go
/// puts it on the free list.
///
/// The fields but `next` and `let_go` are the set's, who writes them before the thread exists, or
/// never shows them to it; they are atomics, used Relaxed, so that cells can be shared.
pub(super) struct Member {
    /// In the queue: who entered before. Among the collected: who comes after.
    next: Link,
    let_go: AtomicBool,
    block: AtomicPtr<ArenaEntry<Block>>,
    /// The thread's handle, in parts.
    record: AtomicPtr<()>,
    head: AtomicPtr<Head>,
    result: AtomicPtr<()>,
    /// Neighbours among all members of the set, by number; 0 for none.
    newer: AtomicU32,
    older: AtomicU32,
}

// SAFETY: zero is an empty queue without references.
unsafe impl Zeroable for Block {}
// SAFETY: zero is a member of nothing.
unsafe impl Zeroable for Member {}

static BLOCKS: Arena<Block> = Arena::new();
static FREE_BLOCKS: FreeList = FreeList::new();
static MEMBERS: Arena<Member> = Arena::new();
static FREE_MEMBERS: FreeList = FreeList::new();

fn take<T: Zeroable>(
    arena: &'static Arena<T>,
    free: &FreeList,
) -> core::result::Result<&'static ArenaEntry<T>, Error> {
    match free.pop(arena) {
        Some(node) => Ok(node),
        None => arena
            .alloc()
            .map_err(|errno| diagnosis::map_error(errno, arena.next_chunk_bytes())),
    }
}

impl Block {
    fn new() -> core::result::Result<&'static ArenaEntry<Self>, Error> {
        let block = take(&BLOCKS, &FREE_BLOCKS)?;
        block.queue.reset();
        block.refs.store(1, Ordering::Relaxed);
        Ok(block)
    }

    /// Lets one reference go. Release and Acquire: everybody's uses come before its next life.
    fn unref(this: &'static ArenaEntry<Self>) {
        if this.refs.fetch_sub(1, Ordering::AcqRel) == 1 {
            FREE_BLOCKS.push(this);
        }
    }
}

impl Member {
    fn new(
        block: &'static ArenaEntry<Block>,
    ) -> core::result::Result<&'static ArenaEntry<Self>, Error> {
        let member = take(&MEMBERS, &FREE_MEMBERS)?;
        member.let_go.store(false, Ordering::Relaxed);
        let address = ptr::from_ref(block).cast_mut();
        member.block.store(address, Ordering::Relaxed);
        // Relaxed: the set's own reference keeps the count above 0.
        block.refs.fetch_add(1, Ordering::Relaxed);
        Ok(member)
    }

    /// The set, or the thread: uses the member no more. Release and Acquire as for blocks.
    fn let_go(this: &'static ArenaEntry<Self>) {
        if this.let_go.swap(true, Ordering::AcqRel) {
            FREE_MEMBERS.push(this);
        }
    }

    /// Thread: has ended; tells the set, if there still is one.
    pub(super) fn done(this: &'static ArenaEntry<Self>) {
        let block = this.block.load(Ordering::Relaxed);
        // SAFETY: blocks are permanent, and this thread's reference keeps it this set's.
        let block: &'static ArenaEntry<Block> = unsafe { &*block };
        block.queue.enter(this.id(), &this.next);
        Self::let_go(this);
        Block::unref(block);
    }
}

/// A set of threads with results of one type. Whoever ends first is joined first, and to wait for
/// any of many is one sleep however many they are.
///
/// Dropping the set detaches its threads, as dropping a [`JoinHandle`] does: they run on, and what
/// they return is dropped. To wait for them instead, join until [`JoinSet::join_next`] says `None`.
///
/// Needs no allocator but for `join_all`.
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
    block: Option<&'static ArenaEntry<Block>>,
    /// Collected but not yet joined: the number of the first to have ended; 0 for none.
    ended: u32,
    /// The newest of all members; 0 for none.
    newest: u32,
    len: usize,
    handles: PhantomData<JoinHandle<T>>,
}

impl<T> JoinSet<T> {
    /// A set without threads. Takes no memory before the first spawn.
    ///
    /// ```
    /// let set = rawthread::JoinSet::<u8>::new();
    /// assert!(set.is_empty());
    /// ```
    pub const fn new() -> Self {
        Self {
            block: None,
            ended: 0,
            newest: 0,
            len: 0,
            handles: PhantomData,
        }
    }

    /// How many threads are in the set: spawned, and not yet joined.
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

    /// Whether no thread is in the set.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// set.spawn(|| ());
    /// assert!(!set.is_empty());
    /// ```
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes a thread of this set with the defaults of [`Builder::new`].
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

    /// Makes a thread of this set as `builder` says.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
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
        let block = match self.block {
            Some(block) => block,
            None => *self.block.insert(Block::new()?),
        };
        let member = Member::new(block)?;
        options.watch = Watch::Set(member);
        // SAFETY: 'static outlives every thread.
        match unsafe { launch::spawn(options, f) } {
            Ok(spawned) => {
                let thread = Thread::from_record(spawned.record.clone());
                self.insert(member, spawned);
                Ok(thread)
            }
            Err(error) => {
                // No thread came to be that could let go of its half.
                Member::let_go(member);
                Member::let_go(member);
                Block::unref(block);
                Err(error)
            }
        }
    }

    /// Waits for the thread that ends first of those not yet joined, and returns what it left, as
    /// [`JoinHandle::join`] does; `None` if the set is empty. Threads that have ended already come
    /// in the order in which they did.
    ///
    /// One sleep at most, and none while threads have ended that were not yet joined.
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
    pub fn join_next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(result) = self.try_join_next() {
                return Some(result);
            }
            let block = self.block.filter(|_| self.len > 0)?;
            if !patience::await_awake(|| !block.queue.is_empty()) {
                block.queue.wait();
            }
        }
    }

    /// What the next thread left if one has ended that was not yet joined, else `None`.
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// let thread = set.spawn(rawthread::park);
    /// assert!(set.try_join_next().is_none());
    /// thread.unpark();
    /// set.join_next().unwrap().unwrap();
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T>> {
        if self.ended == 0 {
            self.ended = oldest_first(self.block?.queue.collect());
        }
        if self.ended == 0 {
            return None;
        }
        let member = MEMBERS.entry(self.ended);
        self.ended = member.next.load(Ordering::Relaxed);
        // The thread has entered the queue, so it is done: this does not wait, but for the kernel
        // to be off a stack of the caller's own.
        Some(self.remove(member).join())
    }

    /// Waits for all threads of the set and returns what they left, in the order in which they
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

    /// Enters a new thread among all members.
    fn insert(&mut self, member: &'static ArenaEntry<Member>, spawned: Spawned<T>) {
        member
            .record
            .store(spawned.record.into_raw(), Ordering::Relaxed);
        member.head.store(spawned.head.as_ptr(), Ordering::Relaxed);
        member
            .result
            .store(spawned.result.as_ptr().cast(), Ordering::Relaxed);
        member.newer.store(0, Ordering::Relaxed);
        member.older.store(self.newest, Ordering::Relaxed);
        if self.newest != 0 {
            let older = MEMBERS.entry(self.newest);
            older.newer.store(member.id(), Ordering::Relaxed);
        }
        self.newest = member.id();
        self.len += 1;
    }

    /// Takes a thread out of all members, lets go of its place, and makes its parts a handle.
    fn remove(&mut self, member: &'static ArenaEntry<Member>) -> JoinHandle<T> {
        let (newer, older) = (
            member.newer.load(Ordering::Relaxed),
            member.older.load(Ordering::Relaxed),
        );
        match newer {
            0 => self.newest = older,
            newer => MEMBERS.entry(newer).older.store(older, Ordering::Relaxed),
        }
        if older != 0 {
            MEMBERS.entry(older).newer.store(newer, Ordering::Relaxed);
        }
        self.len -= 1;
        // SAFETY: `insert` left the parts of a `Spawned<T>` of this set's type; the member is
        // taken out here, so they are put together once.
        let handle = unsafe {
            JoinHandle::new(Spawned {
                record: ThreadRef::from_raw(member.record.load(Ordering::Relaxed)),
                head: NonNull::new_unchecked(member.head.load(Ordering::Relaxed)),
                result: NonNull::new_unchecked(member.result.load(Ordering::Relaxed).cast()),
            })
        };
        Member::let_go(member);
        handle
    }
}

/// Turns a list from the queue round; the number that entered first.
fn oldest_first(mut last: u32) -> u32 {
    let mut first = 0;
    while last != 0 {
        let member = MEMBERS.entry(last);
        let before = member.next.load(Ordering::Relaxed);
        member.next.store(first, Ordering::Relaxed);
        first = last;
        last = before;
    }
    first
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        /// Goes on where a result's own drop panicked.
        struct Detach<'a, T>(&'a mut JoinSet<T>);
        impl<T> Detach<'_, T> {
            fn all(&mut self) {
                while self.0.newest != 0 {
                    drop(self.0.remove(MEMBERS.entry(self.0.newest)));
                }
                if let Some(block) = self.0.block.take() {
                    Block::unref(block);
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
