//! The parsers of flags, beside a plain reading of what their documentation says.

use rawthread::flags::{CloneFlags, FlagInfo, KernelVersion, signal_name, signal_number};

use crate::cases::{Random, cases, mutated};

const CORPUS: &str = include_str!("corpus/flags.txt");

const ODD: [&str; 16] = [
    "",
    "|",
    ",",
    " ",
    "0x",
    "+",
    "-",
    "CLONE_",
    "SIG",
    "RT_",
    "\0",
    "ß",
    "4294967296",
    "99999999999999999999",
    "vm",
    "\u{2028}",
];

/// A number in decimal or with `0x`; an error if the word only begins like one.
fn number(word: &str) -> Option<Result<u64, ()>> {
    word.bytes().next().filter(u8::is_ascii_digit)?;
    let (digits, base) = match word.get(..2) {
        Some("0x" | "0X") => (&word[2..], 16),
        _ => (word, 10),
    };
    let all = digits.chars().try_fold(0u128, |sum, digit| {
        let sum = sum * base + u128::from(digit.to_digit(base as u32)?);
        u64::try_from(sum).ok().map(u128::from)
    });
    Some(
        all.filter(|_| !digits.is_empty())
            .map(|sum| sum as u64)
            .ok_or(()),
    )
}

/// The flag that a word is, by names and numbers.
fn flag(word: &str) -> Result<u64, ()> {
    if let Some(number) = number(word) {
        return number;
    }
    let lower = word.to_ascii_lowercase();
    let bare = lower.strip_prefix("clone_").unwrap_or(&lower);
    let named = |info: &&FlagInfo| info.name["CLONE_".len()..].to_ascii_lowercase() == bare;
    FlagInfo::ALL
        .iter()
        .find(named)
        .map(|info| info.flag.bits())
        .ok_or(())
}

/// The signal that a word is.
fn signal(word: &str) -> Option<u32> {
    let lower = word.to_ascii_lowercase();
    let named = |number: &u32| match number {
        32 => lower == "sigrtmin",
        33.. => lower == format!("sigrt_{}", number - 32) || *number == 64 && lower == "sigrtmax",
        _ => signal_name(*number)
            .is_some_and(|name| lower == format!("sig{}", name.to_ascii_lowercase())),
    };
    // Zeroes may stand before the number.
    let zeroes = lower.strip_prefix("sigrt_").and_then(|digits| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| digits.trim_start_matches('0').parse::<u32>().unwrap_or(0));
        number.filter(|number| *number <= 32 && digits.trim_start_matches('0').len() <= 2)
    });
    (1..=64).find(named).or(zeroes.map(|number| number + 32))
}

fn check(text: &str) {
    let words = || text.split(['|', ',']).map(str::trim);
    let expected = words().try_fold(0, |bits, word| Ok::<_, ()>(bits | flag(word)?));
    match text.parse::<CloneFlags>() {
        Ok(flags) => {
            assert_eq!(Ok(flags.bits()), expected, "{text:?}");
            assert_eq!(flags.to_string().parse(), Ok(flags), "{text:?}");
        }
        Err(error) => {
            assert_eq!(expected, Err(()), "{text:?}: {error}");
            let bad = words().find(|word| flag(word).is_err()).unwrap();
            assert!(bad.starts_with(error.word()), "{text:?}: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
    for word in words() {
        assert_eq!(signal_number(word), signal(word), "{word:?}");
    }
    let legacy = words().try_fold(0, |bits, word| match signal(word) {
        Some(signal) => Ok::<_, ()>(bits | u64::from(signal)),
        None => Ok(bits | flag(word)?),
    });
    match CloneFlags::parse_legacy(text) {
        Ok((flags, signal)) => {
            assert_eq!(
                Ok((flags.bits(), signal)),
                legacy.map(|bits| (bits & !0xff, (bits & 0xff) as u32)),
                "{text:?}"
            );
        }
        Err(error) => assert_eq!(legacy, Err(()), "{text:?}: {error}"),
    }
    if let Some(version) = KernelVersion::parse(text) {
        assert_eq!(KernelVersion::parse(&version.to_string()), Some(version));
    }
}

#[test]
fn text_of_flags_is_read_as_documented() {
    let lines: Vec<&str> = CORPUS.lines().collect();
    lines.iter().for_each(|line| check(line));
    cases(6_000, |random: &mut Random| {
        check(&mutated(random, &lines, &ODD));
    });
}
