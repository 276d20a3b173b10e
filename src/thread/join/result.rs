//! The result of joining a thread.

/// The result of joining a thread: the closure's value, or the payload of its panic.
///
/// With std this is `std::thread::Result`.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result.unwrap(), 7);
/// ```
#[cfg(feature = "std")]
pub type Result<T> = std::thread::Result<T>;

/// The result of joining a thread: the closure's value, or the fact that it panicked.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result, Ok(7));
/// ```
#[cfg(not(feature = "std"))]
pub type Result<T> = core::result::Result<T, Panicked>;

/// The error of a [`Result`] without the feature `std`: the thread's closure panicked.
///
/// With std the error is the payload of the panic.
///
/// ```
/// fn value_or(result: rawthread::Result<i32>, default: i32) -> i32 {
///     match result {
///         Ok(value) => value,
///         Err(rawthread::Panicked { .. }) => default,
///     }
/// }
/// assert_eq!(value_or(Ok(7), 0), 7);
/// ```
#[cfg(not(feature = "std"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panicked;
