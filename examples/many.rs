//! Many threads alive at once: `cargo run --release --example many 10000`.
//!
//! Prints what they cost, and which limit was reached if it was. As root it raises the limits of
//! the machine for as long as it runs (`kernel.pid_max`, `kernel.threads-max`).

use std::fs;
use std::io::{self, Write};
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

/// A sysctl that is raised where that is permitted, and put back.
struct Raised(&'static str, Option<String>);

impl Raised {
    fn to(path: &'static str, value: u64) -> Self {
        let old = fs::read_to_string(path).ok();
        let low = |old: &String| old.trim().parse::<u64>().is_ok_and(|old| old < value);
        let old = old
            .filter(low)
            .filter(|_| fs::write(path, value.to_string()).is_ok());
        Self(path, old)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(old) = &self.1
            && let Err(error) = fs::write(self.0, old)
        {
            eprintln!("could not put {} back to {}: {error}", self.0, old.trim());
        }
    }
}
