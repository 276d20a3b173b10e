//! Many threads alive at once: `cargo run --release --example many 10000`.
//!
//! Prints what they cost, and which limit was reached if it was. As root it raises the limits of
//! the machine for as long as it runs (`kernel.pid_max`, `kernel.threads-max`); SIGINT, SIGTERM and
//! SIGHUP put them back, too, and end it.
#![allow(unsafe_code, reason = "blocks signals and waits for them")]

use std::fs;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rawthread::Builder;

fn main() -> io::Result<()> {
    let wanted: usize = match std::env::args().nth(1).map(|word| word.parse()) {
        None => 10_000,
        Some(Ok(number)) => number,
        Some(Err(_)) => {
            eprintln!("usage: many [NUMBER]");
            std::process::exit(2);
        }
    };
    put_back_on_signals()?;
    let _limits = [
        Raised::to("/proc/sys/kernel/pid_max", 4_194_304),
        Raised::to("/proc/sys/kernel/threads-max", wanted as u64 + 10_000),
    ];
    let before = Costs::now()?;
    let start = Instant::now();
    let mut threads = Vec::with_capacity(wanted);
    while threads.len() < wanted {
        match Builder::new().stack_size(64 * 1024).spawn(rawthread::park) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                println!("stopped at {}: {error}", threads.len());
                break;
            }
        }
    }
    let (took, after) = (start.elapsed(), Costs::now()?);
    let count = threads.len().max(1) as f64;
    println!(
        "{} threads alive after {took:.2?} ({:.1} µs each): {:.1} KiB resident and {:.4} map entries each",
        threads.len(),
        took.as_secs_f64() * 1e6 / count,
        (after.resident_kib - before.resident_kib) / count,
        (after.map_entries - before.map_entries) / count,
    );
    io::stdout().flush()?;
    let start = Instant::now();
    threads.iter().for_each(|thread| thread.thread().unpark());
    for thread in threads {
        thread.join().expect("a parked thread does not panic");
    }
    println!("all joined after {:.2?}", start.elapsed());
    Ok(())
}

struct Costs {
    resident_kib: f64,
    map_entries: f64,
}

impl Costs {
    fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(Self {
            resident_kib: resident.unwrap_or(0.0),
            map_entries: fs::read_to_string("/proc/self/maps")?.lines().count() as f64,
        })
    }
}

/// Sysctls that were raised, with what they were before. Empty when they have been put back.
static RAISED: Mutex<Vec<(&str, String)>> = Mutex::new(Vec::new());

/// Raises a sysctl where that is permitted; it is put back when the value is dropped.
struct Raised;

impl Raised {
    fn to(path: &'static str, value: u64) -> Self {
        if let Ok(old) = fs::read_to_string(path)
            && old.trim().parse::<u64>().is_ok_and(|old| old < value)
        {
            // Entered first: a signal in between puts the old value back.
            let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
            raised.push((path, old));
            if fs::write(path, value.to_string()).is_err() {
                raised.pop();
            }
        }
        Self
    }

    fn put_all_back() {
        let mut raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, old) in raised.drain(..) {
            if let Err(error) = fs::write(path, &old) {
                eprintln!("could not put {path} back to {}: {error}", old.trim());
            }
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        Self::put_all_back();
    }
}

/// Blocks the signals that end programs, in this thread and all that it makes, and has one thread
/// wait for them.
fn put_back_on_signals() -> io::Result<()> {
    let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    // SAFETY: plain functions on a set of this frame's own.
    let set = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    std::thread::Builder::new().spawn(move || {
        let mut signal = 0;
        // SAFETY: both are this frame's.
        while unsafe { libc::sigwait(&set, &mut signal) } != 0 {}
        Raised::put_all_back();
        // As shells tell a death by this signal.
        std::process::exit(128 + signal);
    })?;
    Ok(())
}
