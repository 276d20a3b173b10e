//! Describes the machine that measures; restricts the process to one CPU.
#![allow(unsafe_code, reason = "asks libc")]

use std::fs;
use std::sync::OnceLock;

/// One line: date, processor, number of CPUs, kernel, libc, and the load average, which says whether the
/// machine was idle.
///
/// As it was at the first call, which comes before what is measured: afterwards the load is the bench's.
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
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "{}, {}, {} CPUs, Linux {}, {libc}, load average {load}",
        today(),
        processor(),
        processors(),
        kernel.trim(),
    )
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
