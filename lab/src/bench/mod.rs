//! `lab bench`: what a thread costs, against std and against the floor.
#![allow(unsafe_code, reason = "binds a process to one processor")]

mod bare_clone;
mod contenders;
mod plot;

use std::process::ExitCode;
use std::time::Duration;

use rawthread::flags::Caller;

use crate::cli::{Arguments, UsageError};
use crate::style::{Style, Styler};
use crate::subprocess;
use contenders::Times;

/// What is timed.
struct Scenario {
    title: &'static str,
    /// Threads alive at once.
    together: usize,
    one_processor: bool,
}

const SCENARIOS: [Scenario; 2] = [
    Scenario {
        title: "Spawn one thread and join it, on one processor",
        together: 1,
        one_processor: true,
    },
    Scenario {
        title: "Spawn 64 threads, then join them, on all processors",
        together: 64,
        one_processor: false,
    },
];

/// Longer than any round count that is allowed needs.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut rounds = 100;
    while let Some(argument) = arguments.next() {
        match argument {
            "--rounds" => {
                let given = arguments.value("--rounds", "a number from 1 to 10000")?;
                rounds = match given.parse() {
                    Ok(number @ 1..=10_000) => number,
                    _ => {
                        return Err(UsageError(format!(
                            "--rounds {given}: expected a number from 1 to 10000"
                        )));
                    }
                };
            }
            other => return Err(arguments.unexpected(other)),
        }
    }
    let styler = Styler::for_stdout();
    let build = if cfg!(debug_assertions) {
        "a debug build: use cargo run --release for numbers to keep"
    } else {
        "an optimized build"
    };
    println!(
        "Linux {}, {} processors, {build}.\nEach of {rounds} rounds times 64 threads of every \
         contender, in turn. The bar ends at the middle\nround, the line behind it at the slowest \
         tenth. On the right: the middle, and how many floors.\n",
        Caller::current().kernel(),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    let mut failed = false;
    for scenario in &SCENARIOS {
        println!("{}", styler.apply(Style::Title, scenario.title));
        match measure(scenario, rounds) {
            Ok(contenders) => println!("{}", plot::draw(&contenders, styler)),
            Err(why) => {
                failed = true;
                println!("  {}\n", styler.apply(Style::Bad, &why));
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// Times the field in a process of its own.
fn measure(scenario: &Scenario, rounds: usize) -> Result<Vec<(String, Times)>, String> {
    let report = subprocess::run_in_fork_timeout(TIMEOUT, || {
        if scenario.one_processor {
            bind_to_one_processor();
        }
        match contenders::time(rounds, scenario.together) {
            Ok(times) => times
                .iter()
                .map(|(name, times)| {
                    let Times { middle, slow } = times;
                    format!("{name}\t{middle}\t{slow}\n")
                })
                .collect(),
            Err(why) => format!("failed\t{why}\n"),
        }
    })?;
    report.lines().map(read).collect()
}

fn read(line: &str) -> Result<(String, Times), String> {
    let fields: Vec<_> = line.split('\t').collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    match (number(1), number(2)) {
        (Some(middle), Some(slow)) => Ok((fields[0].to_owned(), Times { middle, slow })),
        _ => Err(fields.get(1).unwrap_or(&"the report is broken").to_string()),
    }
}

/// Binds the calling process to the processor that it is on.
fn bind_to_one_processor() {
    // SAFETY: `cpu_set_t` is plain data; the kernel reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let here = libc::sched_getcpu().max(0) as usize;
        libc::CPU_SET(here, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}
