//! Sets of flags as text: what people type, what `strace` prints.

use core::fmt;
use core::str::FromStr;

use super::{CloneFlags, FlagInfo};

/// The error for a word that names no flag.
///
/// The message holds the word and what would have been right.
///
/// ```
/// use rawthread::flags::CloneFlags;
/// let error = "CLONE_VM|CLONE_FILLS".parse::<CloneFlags>().unwrap_err();
/// assert_eq!(error.word(), "CLONE_FILLS");
/// assert!(error.to_string().contains("no clone flag is called \"CLONE_FILLS\""));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ParseFlagsError {
    /// The bad word's first bytes: there may be no heap to keep all of them.
    word: [u8; Self::MAX_WORD],
    len: u8,
    reason: ErrorReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorReason {
    Unknown,
    Signal,
    Number,
    Empty,
}

impl ParseFlagsError {
    const MAX_WORD: usize = 40;

    fn new(word: &str, reason: ErrorReason) -> Self {
        let mut len = word.len().min(Self::MAX_WORD);
        while !word.is_char_boundary(len) {
            len -= 1;
        }
        let mut kept = [0; Self::MAX_WORD];
        kept[..len].copy_from_slice(&word.as_bytes()[..len]);
        Self {
            word: kept,
            len: len as u8,
            reason,
        }
    }

    /// Returns the word that was not understood (of a very long one, the first 40 bytes).
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// assert_eq!("vm,filse".parse::<CloneFlags>().unwrap_err().word(), "filse");
    /// ```
    #[must_use]
    pub fn word(&self) -> &str {
        core::str::from_utf8(&self.word[..usize::from(self.len)]).unwrap_or("")
    }
}

impl fmt::Debug for ParseFlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseFlagsError")
            .field("word", &self.word())
            .field("reason", &self.reason)
            .finish()
    }
}

impl fmt::Display for ParseFlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self.reason {
            ErrorReason::Unknown => write!(
                f,
                "no clone flag is called {word:?}: expected names such as CLONE_VM or vm, or a number, joined by | or ,"
            ),
            ErrorReason::Signal => write!(
                f,
                "{word} is a signal, not a flag: give the exit signal on its own"
            ),
            ErrorReason::Number => write!(
                f,
                "{word:?} is not a number of at most 64 bits: expected decimal, or hexadecimal after 0x"
            ),
            ErrorReason::Empty => write!(
                f,
                "a flag is missing: expected names such as CLONE_VM or vm joined by | or , and 0 for none"
            ),
        }
    }
}

impl core::error::Error for ParseFlagsError {}

/// The signals with a name, by number (x86-64 and aarch64 agree), without `SIG`.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Returns the name of signal 1 to 31 without `SIG`; `None` for real-time signals and for 0.
///
/// ```
/// use rawthread::flags::signal_name;
/// assert_eq!(signal_name(17), Some("CHLD"));
/// assert_eq!(signal_name(33), None);
/// ```
#[must_use]
pub fn signal_name(number: u32) -> Option<&'static str> {
    SIGNALS.get((number as usize).checked_sub(1)?).copied()
}

/// The first and the last real-time signal to the kernel: a libc keeps two or three for itself and
/// calls the one after them `SIGRTMIN`.
const REAL_TIME: core::ops::RangeInclusive<u32> = 32..=64;

/// Returns the number of the signal with a name such as `SIGCHLD`; for the first 31 the inverse of
/// [`signal_name`], with the prefix.
///
/// Real-time signals have the names that `strace` gives them, by the kernel's count: `SIGRTMIN` is
/// 32, `SIGRT_1` to `SIGRT_32` are 33 to 64, and `SIGRTMAX` is 64. (glibc's `SIGRTMIN` is 34, here
/// `SIGRT_2`.)
///
/// ```
/// use rawthread::flags::signal_number;
/// assert_eq!(signal_number("SIGUSR1"), Some(10));
/// assert_eq!(signal_number("sigchld"), Some(17));
/// assert_eq!(signal_number("SIGRT_2"), Some(34));
/// assert_eq!(signal_number("CLONE_VM"), None);
/// ```
#[must_use]
pub fn signal_number(word: &str) -> Option<u32> {
    let bare = word.get(3..)?;
    if !word[..3].eq_ignore_ascii_case("SIG") {
        return None;
    }
    let index = SIGNALS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(bare));
    index
        .map(|index| index as u32 + 1)
        .or_else(|| real_time(bare))
}

/// The real-time signal of this name without `SIG`.
fn real_time(bare: &str) -> Option<u32> {
    if bare.eq_ignore_ascii_case("RTMIN") {
        return Some(*REAL_TIME.start());
    }
    if bare.eq_ignore_ascii_case("RTMAX") {
        return Some(*REAL_TIME.end());
    }
    let digits = bare.get(3..)?;
    if !bare[..3].eq_ignore_ascii_case("RT_") || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits
        .parse::<u32>()
        .ok()?
        .checked_add(*REAL_TIME.start())?;
    REAL_TIME.contains(&number).then_some(number)
}

/// The number that `word` is, if it starts with a digit.
fn parse_number(word: &str) -> Option<Result<u64, ParseFlagsError>> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let parsed = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
        Some(_) => return Some(Err(ParseFlagsError::new(word, ErrorReason::Number))),
        None => word.parse(),
    };
    Some(parsed.map_err(|_| ParseFlagsError::new(word, ErrorReason::Number)))
}

/// The words of a set, trimmed.
fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(['|', ',']).map(str::trim)
}

fn parse_flag(word: &str) -> Result<CloneFlags, ParseFlagsError> {
    if let Some(number) = parse_number(word) {
        return number.map(CloneFlags::from_bits_retain);
    }
    match FlagInfo::ALL.iter().find(|info| info.is_named(word)) {
        Some(info) => Ok(info.flag),
        None if word.is_empty() => Err(ParseFlagsError::new(word, ErrorReason::Empty)),
        None if signal_number(word).is_some() => {
            Err(ParseFlagsError::new(word, ErrorReason::Signal))
        }
        None => Err(ParseFlagsError::new(word, ErrorReason::Unknown)),
    }
}

/// Reads names with or without `CLONE_`, in any case, and numbers, joined by `|` or `,`.
///
/// # Errors
/// [`ParseFlagsError`] names the first word that is neither.
///
/// ```
/// use rawthread::flags::CloneFlags;
/// assert_eq!("CLONE_VM|CLONE_FS".parse(), Ok(CloneFlags::VM | CloneFlags::FS));
/// assert_eq!("vm, fs".parse(), Ok(CloneFlags::VM | CloneFlags::FS));
/// assert_eq!("0x300".parse(), Ok(CloneFlags::VM | CloneFlags::FS));
/// assert_eq!("768".parse(), Ok(CloneFlags::VM | CloneFlags::FS));
/// assert_eq!("0".parse(), Ok(CloneFlags::empty()));
/// assert!("SIGCHLD".parse::<CloneFlags>().unwrap_err().to_string().contains("exit signal"));
/// ```
impl FromStr for CloneFlags {
    type Err = ParseFlagsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        split_words(text).try_fold(Self::empty(), |set, word| Ok(set | parse_flag(word)?))
    }
}

impl CloneFlags {
    /// Reads the first argument of legacy `clone`: flags and the exit signal together, as `strace`
    /// prints them; the low byte of numbers is the signal.
    ///
    /// # Errors
    /// [`ParseFlagsError`] names the first word that is neither a flag, a signal nor a number.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// let fork = CloneFlags::CHILD_CLEARTID | CloneFlags::CHILD_SETTID;
    /// let text = "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD";
    /// assert_eq!(CloneFlags::parse_legacy(text), Ok((fork, 17)));
    /// assert_eq!(CloneFlags::parse_legacy("0x1200011"), Ok((fork, 17)));
    /// ```
    pub fn parse_legacy(text: &str) -> Result<(Self, u32), ParseFlagsError> {
        let mut word_of_clone = 0;
        for word in split_words(text) {
            word_of_clone |= match signal_number(word) {
                Some(signal) => u64::from(signal),
                None => parse_flag(word)?.bits(),
            };
        }
        Ok(Self::from_legacy(word_of_clone))
    }
}

/// Writes the set as `strace` does: names joined by `|`, then unnamed bits in hexadecimal; `0` for
/// the empty set. What is written can be read back.
///
/// ```
/// use rawthread::flags::CloneFlags;
/// assert_eq!(CloneFlags::from_bits_retain(0x4300).to_string(), "CLONE_VM|CLONE_FS|CLONE_VFORK");
/// assert_eq!(CloneFlags::from_bits_retain(0x101).to_string(), "CLONE_VM|0x1");
/// assert_eq!(CloneFlags::empty().to_string(), "0");
/// ```
impl fmt::Display for CloneFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("0");
        }
        let mut between = "";
        for info in self.info() {
            write!(f, "{between}{}", info.name)?;
            between = "|";
        }
        match self.unknown_bits() {
            0 => Ok(()),
            rest => write!(f, "{between}{rest:#x}"),
        }
    }
}
