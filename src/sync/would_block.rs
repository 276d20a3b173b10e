//! The error of the locks' `try_` functions.

use core::fmt;

/// An error that says that the lock cannot be acquired without blocking.
///
/// Returned by `try_lock`, `try_read` and `try_write`. Try again later, or block with `lock`,
/// `read` or `write`.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Mutex, WouldBlock};
///
/// let lock = Mutex::new(());
/// let held = lock.lock();
/// assert_eq!(lock.try_lock().unwrap_err(), WouldBlock);
/// # drop(held);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is held, and taking it would block: try later, or wait for it")
    }
}

impl core::error::Error for WouldBlock {}
