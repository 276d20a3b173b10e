//! Sets of processors.

use core::fmt;

use crate::error::Error;
use crate::sys::{Errno, sched};

/// More than the most processors a Linux kernel can be built for on 64-bit machines.
const MAX: usize = 8192;

/// A set of processors by their numbers, as in `/proc/cpuinfo` and `sched_setaffinity(2)`.
///
/// ```
/// use rawthread::CpuSet;
///
/// let set: CpuSet = [0, 2, 3].into_iter().collect();
/// assert!(set.contains(2) && !set.contains(1));
/// assert_eq!(set.len(), 3);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CpuSet {
    words: [u64; MAX / 64],
    /// Whether a number was inserted that no kernel has: `spawn` returns the error.
    out_of_range: bool,
}

impl CpuSet {
    /// Creates a set without processors.
    ///
    /// ```
    /// assert!(rawthread::CpuSet::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self {
            words: [0; MAX / 64],
            out_of_range: false,
        }
    }

    /// Returns the processors that the calling thread may use (`sched_getaffinity(2)`).
    ///
    /// # Errors
    /// EINVAL on a kernel built for more than 8192 processors.
    ///
    /// ```
    /// assert!(!rawthread::CpuSet::current()?.is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn current() -> Result<Self, Error> {
        let mut set = Self::new();
        sched::get_affinity(0, &mut set.words)
            .map_err(|errno: Errno| Error::from_raw_os_error(errno.number()))?;
        Ok(set)
    }

    /// Adds processor `cpu`. A number above 8191 makes the set invalid: `spawn` returns the error.
    ///
    /// ```
    /// let mut set = rawthread::CpuSet::new();
    /// set.insert(1);
    /// assert!(set.contains(1));
    /// ```
    pub fn insert(&mut self, cpu: usize) {
        match self.words.get_mut(cpu / 64) {
            Some(word) => *word |= 1 << (cpu % 64),
            None => self.out_of_range = true,
        }
    }

    /// Returns whether processor `cpu` is in the set.
    ///
    /// ```
    /// assert!(!rawthread::CpuSet::new().contains(0));
    /// ```
    pub fn contains(&self, cpu: usize) -> bool {
        self.words
            .get(cpu / 64)
            .is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// Returns the number of processors in the set.
    ///
    /// ```
    /// assert_eq!([5, 5, 6].into_iter().collect::<rawthread::CpuSet>().len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Returns whether no processor is in the set.
    ///
    /// ```
    /// assert!(rawthread::CpuSet::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Iterates over the numbers in the set, lowest first.
    ///
    /// ```
    /// let set: rawthread::CpuSet = [3, 1].into_iter().collect();
    /// assert_eq!(set.iter().collect::<Vec<_>>(), [1, 3]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX).filter(|cpu| self.contains(*cpu))
    }

    /// The kernel's mask.
    ///
    /// # Errors
    /// `InvalidInput` for a set that no kernel could take.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.out_of_range {
            return Err(Error::invalid_input(
                "a processor number above 8191 is in the affinity set",
                "Processors are numbered from 0; see /proc/cpuinfo.",
            ));
        }
        if self.is_empty() {
            return Err(Error::invalid_input(
                "the affinity set is empty",
                "Put at least one processor into it.",
            ));
        }
        Ok(())
    }

    /// What `sched_setaffinity(2)` takes.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut set = Self::new();
        set.extend(cpus);
        set
    }
}

impl Extend<usize> for CpuSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, cpus: I) {
        cpus.into_iter().for_each(|cpu| self.insert(cpu));
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
