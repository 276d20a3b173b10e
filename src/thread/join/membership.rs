//! Whether a handle's thread belongs to a scope: what tells [`JoinHandle`](super::handle::JoinHandle)
//! and [`ScopedJoinHandle`](crate::ScopedJoinHandle) apart.

use super::result::Result;
use super::scope_data::ScopeData;

/// What a handle does with a result that it takes. [`NoScope`] and [`InScope`] alone have it: no
/// other crate can name it.
///
/// ```
/// let handles = [1, 2].map(|n| rawthread::spawn(move || n));
/// assert_eq!(handles.map(|handle| handle.join().unwrap()), [1, 2]);
/// ```
pub trait Membership {
    #[doc(hidden)]
    const HANDLE: &'static str;

    #[doc(hidden)]
    fn take_result<T>(&self, result: Result<T>) -> Result<T>;
}

/// The thread belongs to no scope: dropping its handle detaches it.
///
/// ```
/// let handle: rawthread::JoinHandle<i32> = rawthread::spawn(|| 7);
/// drop(handle);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NoScope;

/// The thread belongs to a scope, whose end waits for it.
///
/// ```
/// rawthread::scope(|s| {
///     let handle: rawthread::ScopedJoinHandle<'_, i32> = s.spawn(|| 7);
///     drop(handle);
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InScope<'scope>(pub(in crate::thread) &'scope ScopeData);

impl Membership for NoScope {
    const HANDLE: &'static str = "JoinHandle";

    fn take_result<T>(&self, result: Result<T>) -> Result<T> {
        result
    }
}

impl Membership for InScope<'_> {
    const HANDLE: &'static str = "ScopedJoinHandle";

    fn take_result<T>(&self, result: Result<T>) -> Result<T> {
        self.0.mark_handled(result)
    }
}
