//! Describes the machine that measures; restricts the process to one CPU.
#![allow(unsafe_code, reason = "asks libc")]

use std::fs;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// One line: date, processor, number of CPUs, kernel, libc, and how much of the processors other programs
/// used in the second before, which says whether the machine was idle.
///
/// The first call takes that second, before anything is measured. The load average would count the bench
/// that ran before this one.
pub(crate) fn describe() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(look)
}

fn look() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let libc = rawthread::host().map_or_else(
        |error| error.to_string(),
        |host| format!("{} {}", host.libc(), host.version().unwrap_or("?")),
    );
    let busy = others_share().map_or("?".to_owned(), |share| format!("{:.0}", share * 100.0));
    format!(
        "{}, {}, {} CPUs, Linux {}, {libc}, other programs on {busy} % of the processors before",
        today(),
        processor(),
        processors(),
        kernel.trim(),
    )
}

/// How much of the processors' time was not idle in a second in which this program sleeps (proc_stat(5)).
fn others_share() -> Option<f64> {
    let before = ticks()?;
    thread::sleep(Duration::from_secs(1));
    let after = ticks()?;
    let passed: [f64; 2] = std::array::from_fn(|index| after[index] - before[index]);
    Some(1.0 - passed[0] / passed[1].max(1.0))
}

/// Ticks that all processors were idle, and all ticks.
fn ticks() -> Option<[f64; 2]> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // Guests' time, behind the first eight, is counted in the others.
    let values = line.split_whitespace().take(8).map(str::parse);
    let values: Vec<f64> = values.collect::<Result<_, _>>().ok()?;
    Some([values.get(3)? + values.get(4)?, values.iter().sum()])
}

fn today() -> String {
    // SAFETY: both functions fill or read a local structure.
    let date = unsafe {
        let mut date = std::mem::zeroed::<libc::tm>();
        libc::gmtime_r(&libc::time(std::ptr::null_mut()), &mut date);
        date
    };
    let (year, month, day) = (date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
    format!("{year}-{month:02}-{day:02}")
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(':').nth(1));
    model.map_or(std::env::consts::ARCH.to_owned(), |m| m.trim().to_owned())
}

/// Processor time that all threads of this process have used, ended ones too.
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a local structure.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many processors the process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// Restricts the process, of which no other thread may exist yet, to one of its processors.
pub(crate) fn use_one_processor() {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the sets are plain bits, and `size` is their size.
    unsafe {
        let mut allowed = std::mem::zeroed::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &mut allowed), 0);
        // The last one: the first often has the interrupts.
        let last = (0..libc::CPU_SETSIZE as usize)
            .rev()
            .find(|cpu| libc::CPU_ISSET(*cpu, &allowed))
            .expect("a processor");
        let mut one = std::mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(last, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
    }
}
