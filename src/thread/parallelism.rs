//! How many threads can run at once.

use core::num::NonZero;

#[cfg(not(feature = "std"))]
use crate::diagnosis;
use crate::error::Error;
#[cfg(not(feature = "std"))]
use crate::sys::sched;

/// Returns how many threads can run at once: the processors that the calling thread may use
/// (`sched_getaffinity(2)`), or less under the processor quota of a control group (`cgroups(7)`).
///
/// With std it is `std::thread::available_parallelism`, and std's function of that name is there, too.
/// Without std and without the feature `diagnosis`, which `hosted` brings, quotas are not looked for.
///
/// # Errors
/// As `std::thread::available_parallelism`: ENOSYS or EPERM where a sandbox refuses the question.
/// Without std none: the answer is 1 there.
///
/// ```
/// println!("{} threads at once", rawthread::try_available_parallelism()?);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn try_available_parallelism() -> Result<NonZero<usize>, Error> {
    count()
}

#[cfg(feature = "std")]
fn count() -> Result<NonZero<usize>, Error> {
    std::thread::available_parallelism().map_err(Error::from)
}

#[cfg(not(feature = "std"))]
fn count() -> Result<NonZero<usize>, Error> {
    let quota = diagnosis::cpu_quota().unwrap_or(usize::MAX);
    Ok(NonZero::new(sched::cpu_count().min(quota)).unwrap_or(NonZero::<usize>::MIN))
}
