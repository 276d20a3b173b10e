//! Locks for programs without the standard library: a `Mutex`, its `Condvar`, and their kin.
//!
//! They need no libc, no allocator and no thread-locals: a lock is one or two 32-bit words, and
//! the rest is `futex(2)`. They work in every situation this crate knows, and between threads of
//! any making. A program that has `std` may as well use `std::sync`; these have the same names
//! and shapes:
//!
//! | here | as in `std::sync` | words |
//! |---|---|---|
//! | [`Mutex`], [`MutexGuard`] | yes, without poisoning | 1 |
//! | [`Condvar`], [`WaitTimeoutResult`] | yes | 2 |
//! | [`RwLock`] and its guards | yes, without poisoning | 2 |
//! | [`Once`], [`OnceState`] | yes | 1 |
//! | [`OnceLock`], [`LazyLock`] | yes | 1 |
//! | [`Barrier`], [`BarrierWaitResult`] | yes | 4 |
//! | [`Semaphore`], [`SemaphorePermit`] | std has none | 1 |
//!
//! With the cargo feature `lock_api`, `RawMutex` and `RawRwLock` offer the words to the
//! [`lock_api`](https://docs.rs/lock_api) crate and what is built on it.
//!
//! # No poisoning, and what takes its place
//!
//! `Mutex` and `RwLock` do not poison: `lock` returns the guard, not a `Result`, and a guard that
//! is dropped by a panic unlocks like any other. To poison, a guard must ask on its way out
//! whether its thread is panicking, and without `std` nobody can answer that. So what a lock
//! protects must make sense whenever code that holds the guard may panic. Where that is hard,
//! keep a flag beside the data.
//!
//! Where a panic does not unwind (`panic = "abort"`, or a handler that ends only the panicking
//! thread), guards are not dropped at all: what the thread had locked stays locked, and those who
//! wait for it wait for ever. The same holds for a thread that leaves by a raw exit call.
//!
//! [`Once`] and [`LazyLock`] do know when their closure unwinds, and answer as std's do: they
//! panic when they are used after that. [`OnceLock`] begins afresh, also as std's does.
//!
//! # Fairness, signals, fork
//!
//! Locks are not fair: a running thread may take a free lock before a woken one gets there. That
//! is what makes them fast. Readers do not pass sleeping writers, so writers are not starved.
//!
//! A signal handler must not take a lock that its thread may hold. A child of `fork` inherits
//! locks as they were in the parent, held ones included, and no thread that would let go of them.
//!
//! # Examples
//!
//! ```
//! use rawthread::sync::{Condvar, Mutex};
//!
//! static QUEUE: Mutex<Vec<u32>> = Mutex::new(Vec::new());
//! static FILLED: Condvar = Condvar::new();
//!
//! let consumer = std::thread::spawn(|| {
//!     let mut queue = FILLED.wait_while(QUEUE.lock(), |queue| queue.is_empty());
//!     queue.pop()
//! });
//! QUEUE.lock().push(7);
//! FILLED.notify_one();
//! assert_eq!(consumer.join().unwrap(), Some(7));
//! ```

mod barrier;
mod condvar;
mod lazy;
#[cfg(all(feature = "lock_api", not(all(test, loom))))]
mod lock_api;
mod mutex;
mod once;
mod once_lock;
pub(crate) mod raw;
mod rwlock;
mod semaphore;
mod would_block;

#[cfg(all(feature = "lock_api", not(all(test, loom))))]
pub use self::lock_api::{RawMutex, RawRwLock};
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
pub use would_block::WouldBlock;
