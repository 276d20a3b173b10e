//! What one thread adds to a count of a whole process.

/// The difference between a process with many threads and one with few, a thread: what the process does anyway
/// cancels out. `total` counts for so many threads; `None` where it cannot.
pub(crate) fn difference(total: impl Fn(u32) -> Option<f64>) -> Option<f64> {
    const FEW: u32 = 300;
    const MANY: u32 = 1300;
    Some((total(MANY)? - total(FEW)?) / f64::from(MANY - FEW))
}
