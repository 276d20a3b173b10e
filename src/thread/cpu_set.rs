//! Sets of processors.

use core::fmt;

use crate::error::{Error, Operation};
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
        affinity()
    }

    /// Reads the processors that thread `tid` (0: the caller) may use.
    pub(super) fn of(tid: i32) -> Result<Self, Errno> {
        let mut set = Self::new();
        sched::get_affinity(tid, &mut set.words)?;
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

pub(in crate::thread) static SET_AFFINITY: Operation = Operation {
    name: "sched_setaffinity",
    purpose: "restrict the thread to the processors asked for",
    hint: |errno| match errno {
        Errno::ESRCH => "The thread has ended.",
        Errno::EPERM => "CAP_SYS_NICE is needed for another user's thread.",
        Errno::EBUSY => "A thread with a deadline keeps the processors of its domain.",
        _ => "At least one of them must be online and in the process's cpuset.",
    },
};

pub(super) static GET_AFFINITY: Operation = Operation {
    name: "sched_getaffinity",
    purpose: "read the processors that the thread may use",
    hint: |errno| match errno {
        Errno::ESRCH => "The thread has ended.",
        Errno::EINVAL => "The kernel was built for more than 8192 processors.",
        _ => "See sched_getaffinity(2).",
    },
};

/// Returns the processors that the calling thread may use (`sched_getaffinity(2)`).
///
/// # Errors
/// EINVAL on a kernel built for more than 8192 processors.
///
/// ```
/// let cpus = rawthread::affinity()?;
/// rawthread::set_affinity(&cpus)?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn affinity() -> Result<CpuSet, Error> {
    CpuSet::of(0).map_err(|errno| Error::from_operation(&GET_AFFINITY, errno))
}

/// Sets the processors that the calling thread may use (`sched_setaffinity(2)`).
///
/// Those that are offline, or outside the process's cpuset, are left out.
///
/// # Errors
/// EINVAL if none is left; `InvalidInput` for a set that is empty or names a processor above 8191.
///
/// ```
/// use rawthread::CpuSet;
///
/// let thread = rawthread::spawn(|| {
///     let first: CpuSet = rawthread::affinity()?.iter().take(1).collect();
///     rawthread::set_affinity(&first)?;
///     Ok::<_, rawthread::Error>(rawthread::affinity()?.len())
/// });
/// assert_eq!(thread.join().unwrap()?, 1);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn set_affinity(cpus: &CpuSet) -> Result<(), Error> {
    cpus.check()?;
    sched::set_affinity(0, cpus.words())
        .map_err(|errno| Error::from_operation(&SET_AFFINITY, errno))
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
