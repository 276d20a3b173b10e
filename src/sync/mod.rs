//! Locks for programs without the standard library, in the shapes of `std::sync`.
//!
//! They need no libc, no allocator and no thread-locals: a lock is one or two 32-bit words, and
//! the rest is `futex(2)`. They work in every kind of program that this crate supports, and between
//! threads of any origin. A program that has `std` may as well use `std::sync`; these types have
//! the same names and signatures:
//!
//! | here | as in `std::sync` | words |
//! |---|---|---|
//! | [`Mutex`], [`MutexGuard`] | yes, without poisoning | 1 |
//! | [`Condvar`], [`WaitTimeoutResult`] | yes | 2 |
//! | [`RwLock`] and its guards | yes, without poisoning | 2 |
//! | [`Once`], [`OnceState`] | yes | 1 |
//! | [`OnceLock`], [`LazyLock`] | yes | 1, and an `Option` |
//! | [`Barrier`], [`BarrierWaitResult`] | yes | 4 |
//! | [`Semaphore`], [`SemaphorePermit`] | std has none | 1 |
//! | [`PiMutex`], [`PiMutexGuard`]: the holder inherits the waiters' priority | std has none | 2 |
//!
//! With the cargo feature `lock_api`, `RawMutex`, `RawPiMutex` and `RawRwLock` offer the words to the
//! [`lock_api`](https://docs.rs/lock_api) crate and what is built on it.
//!
//! # No poisoning, and what takes its place
//!
//! `Mutex` and `RwLock` do not poison: `lock` returns the guard, not a `Result`, and a guard that
//! is dropped by a panic unlocks like any other. To poison, the drop of a guard must find
//! out whether its thread is panicking, and without `std` there is no function for that. So the
//! protected data must be consistent wherever code that holds the guard may panic. Where that is
//! hard, keep a flag beside the data.
//!
//! Where a panic does not unwind (`panic = "abort"`, or a handler that ends only the panicking
//! thread), guards are not dropped: the locks that the thread held stay locked, and threads that wait
//! for them block forever. The same holds for a thread that calls `exit(2)` itself.
//!
//! For the same reason a closure that is given to `catch_unwind` may hold a `&Mutex` or a `&RwLock`
//! only in an `AssertUnwindSafe`: neither is `RefUnwindSafe`, which std's are because they poison
//! (its unstable `std::sync::nonpoison` is not). All other types here are unwind safe where std's
//! are.
//!
//! [`Once`] and [`LazyLock`] detect that their closure unwinds, and are poisoned as std's are:
//! later uses panic. [`OnceLock`] stays empty, also as std's does.
//!
//! # Fairness, signals, fork
//!
//! Locks are not fair: a running thread may acquire a free lock before a woken one does. That
//! makes them fast. Readers do not pass sleeping writers, so writers are not starved.
//!
//! A signal handler must not take a lock that its thread may hold. A child of `fork` inherits
//! locks as they were in the parent, held ones included, and has no thread that would release them.
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
mod pi_mutex;
pub(crate) mod raw;
mod rwlock;
mod semaphore;
mod would_block;

#[cfg(all(feature = "lock_api", not(all(test, loom))))]
pub use self::lock_api::{RawMutex, RawPiMutex, RawRwLock};
pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use pi_mutex::{PiMutex, PiMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
pub use would_block::WouldBlock;
