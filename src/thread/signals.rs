//! Signals and sets of them.

use core::fmt;

use crate::error::Error;
use crate::sys::signal::SigSet;

/// A signal that a program may send or mask: 1 to 64 without 32 and 33, which libcs keep for
/// themselves (`signal(7)`).
///
/// ```
/// use rawthread::Signal;
///
/// let signal = Signal::new(libc::SIGUSR1).unwrap();
/// assert_eq!(signal.number(), libc::SIGUSR1);
/// assert_eq!(format!("{signal:?}"), "SIGUSR1");
/// assert!(Signal::new(33).is_err() && Signal::new(0).is_err() && Signal::new(65).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

impl Signal {
    /// Creates a signal from its number (`libc::SIGUSR1`, ...).
    ///
    /// # Errors
    /// `InvalidInput` if it is none, or one of libc's own.
    ///
    /// ```
    /// let signal = rawthread::Signal::new(libc::SIGTERM)?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn new(number: i32) -> Result<Self, Error> {
        match number {
            1..=31 | 34..=64 => Ok(Self(number as u8)),
            32 | 33 => Err(Error::invalid_input(
                "signals 32 and 33 belong to the C library",
                "Use SIGUSR1, SIGUSR2 or a real-time signal from 34 on.",
            )),
            _ => Err(Error::invalid_input(
                "there is no signal of that number",
                "Signals are numbered 1 to 64; see signal(7).",
            )),
        }
    }

    /// Returns the number of the signal.
    ///
    /// ```
    /// assert_eq!(rawthread::Signal::new(15)?.number(), 15);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn number(self) -> i32 {
        self.0 as i32
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match crate::flags::signal_name(u32::from(self.0)) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "Signal({})", self.0),
        }
    }
}

/// A set of signals, for masks.
///
/// ```
/// use rawthread::{Signal, SignalSet};
///
/// let mut set = SignalSet::all();
/// set.remove(Signal::new(libc::SIGINT)?);
/// assert!(set.contains(Signal::new(libc::SIGTERM)?));
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// Creates a set without signals.
    ///
    /// ```
    /// assert_eq!(rawthread::SignalSet::empty().iter().count(), 0);
    /// ```
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Creates the set of every signal that a program may mask.
    ///
    /// musl keeps 34 for itself as well, by which it changes ids: the set contains it, and no thread or
    /// process that is given the set blocks it there.
    ///
    /// ```
    /// assert_eq!(rawthread::SignalSet::all().iter().count(), 62);
    /// ```
    pub const fn all() -> Self {
        Self(SigSet::ALL.without(32).without(33).0)
    }

    /// Adds a signal.
    ///
    /// ```
    /// # use rawthread::{Signal, SignalSet};
    /// let mut set = SignalSet::empty();
    /// set.insert(Signal::new(libc::SIGHUP)?);
    /// assert!(set.contains(Signal::new(libc::SIGHUP)?));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << (signal.0 - 1);
    }

    /// Removes a signal.
    ///
    /// ```
    /// # use rawthread::{Signal, SignalSet};
    /// let mut set = SignalSet::all();
    /// set.remove(Signal::new(libc::SIGHUP)?);
    /// assert!(!set.contains(Signal::new(libc::SIGHUP)?));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << (signal.0 - 1));
    }

    /// Returns whether a signal is in the set.
    ///
    /// ```
    /// # use rawthread::{Signal, SignalSet};
    /// assert!(SignalSet::all().contains(Signal::new(64)?));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn contains(&self, signal: Signal) -> bool {
        self.0 >> (signal.0 - 1) & 1 == 1
    }

    /// Iterates over the signals in the set, lowest number first.
    ///
    /// ```
    /// # use rawthread::{Signal, SignalSet};
    /// let set: SignalSet = [Signal::new(10)?, Signal::new(2)?].into_iter().collect();
    /// assert_eq!(set.iter().map(Signal::number).collect::<Vec<_>>(), [2, 10]);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Signal> + use<> {
        let set = *self;
        (1..=64)
            .filter_map(|number| Signal::new(number).ok())
            .filter(move |signal| set.contains(*signal))
    }

    /// As the kernel is told: the C library's own signals stay open.
    pub(crate) fn kernel(self) -> SigSet {
        SigSet(self.0).but_libcs_own()
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::empty();
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
