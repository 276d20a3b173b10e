//! The quota on processor time that control groups set.

use super::cgroup::{for_each_group, read_number_at};
use super::procfs::{FixedPath, LineReader};
use crate::sys::limits::parse_number;

/// How many processors' time the tightest quota of the calling thread's control group and of those
/// above it allows, rounded down; `None` without a quota.
///
/// See Documentation/admin-guide/cgroup-v2.rst, CPU, and Documentation/scheduler/sched-bwc.rst for
/// version 1, whose quota of -1 is none.
pub(crate) fn cpu_quota() -> Option<u64> {
    let mut least = None;
    for_each_group(b"cpu", |path| {
        if let Some((quota, period)) = quota_of(path)
            && let Some(cpus) = quota.checked_div(period)
        {
            least = Some(least.map_or(cpus, |least: u64| least.min(cpus)));
        }
    });
    least
}

/// Quota and period of the group in microseconds, if it has a quota.
fn quota_of(path: &mut FixedPath) -> Option<(u64, u64)> {
    if let Some(quota) = read_number_at(path, b"/cpu.cfs_quota_us") {
        return Some((quota, read_number_at(path, b"/cpu.cfs_period_us")?));
    }
    let len = path.as_bytes().len();
    path.push(b"/cpu.max")?;
    let file = path.as_c_str().and_then(LineReader::of);
    path.truncate(len);
    parse_cpu_max(file?.next()?)
}

/// The two numbers of a line such as `50000 100000`; `None` for `max 100000`.
fn parse_cpu_max(line: &[u8]) -> Option<(u64, u64)> {
    let mut words = line.split(|byte| *byte == b' ');
    Some((parse_number(words.next()?)?, parse_number(words.next()?)?))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_quota_has_two_numbers() {
        assert_eq!(parse_cpu_max(b"150000 100000"), Some((150_000, 100_000)));
        assert_eq!(parse_cpu_max(b"max 100000"), None);
        assert_eq!(parse_cpu_max(b""), None);
    }

    #[test]
    fn any_line_is_a_quota_or_none() {
        use std::string::String;
        let lines = ["150000 100000", "max 100000", "1", "0 0"];
        crate::primitive::cases::cases(5_000, |random| {
            let odd = [" ", "max", "-1", "18446744073709551616"];
            let text = crate::primitive::cases::mutated(random, &lines, &odd);
            let number = |word: &str| {
                let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u64>().ok()
            };
            let mut words = text.split(' ').map(number);
            let expected = words.next().flatten().zip(words.next().flatten());
            assert_eq!(parse_cpu_max(text.as_bytes()), expected, "{text:?}");
        });
    }

    /// std looks for the same quotas: whatever this machine has, the answers agree.
    #[cfg(feature = "std")]
    #[test]
    fn the_quota_is_no_less_than_what_std_finds() {
        let std = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let cpus = crate::sys::sched::cpu_count() as u64;
        assert_eq!(cpu_quota().unwrap_or(u64::MAX).min(cpus).max(1), std);
    }
}
