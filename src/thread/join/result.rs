//! The result of joining a thread.

/// The result of joining a thread: the closure's value, or the payload of its panic.
///
/// With std this is `std::thread::Result`; without, the error is [`Panicked`]. It is the one type of
/// the crate that depends on a feature; the [first page](crate#features) says why.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result.unwrap(), 7);
/// ```
#[cfg(feature = "std")]
pub type Result<T> = std::thread::Result<T>;

/// The result of joining a thread: the closure's value, or the fact that it panicked.
///
/// With the feature `std` the error is the payload of the panic. It is the one type of the crate that
/// depends on a feature; the [first page](crate#features) says why.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result, Ok(7));
/// ```
#[cfg(not(feature = "std"))]
pub type Result<T> = core::result::Result<T, Panicked>;

/// The error of a [`Result`] without the feature `std`: the thread's closure panicked.
///
/// With std the error is the payload of the panic, `Box<dyn Any + Send>`. This type is there in every
/// build, but no join returns it with std: code that compiles in both takes the error by a type
/// parameter or does not name its type.
///
/// ```
/// fn value_or<T, E>(result: Result<T, E>, default: T) -> T {
///     result.unwrap_or(default)
/// }
/// assert_eq!(value_or(rawthread::spawn(|| 7).join(), 0), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panicked;
