//! `lab bench`: what a thread and a process cost, against a bare clone.
#![allow(unsafe_code, reason = "binds a process to one processor")]

mod bare_clone;
mod bare_clone_threads;
mod contenders;
mod formats;
mod plot;
mod processes;
mod rounds;
mod scenario;

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use rawthread::flags::Caller;

use crate::cli::{Arguments, UsageError};
use crate::output;
use crate::style::{Style, Styler};
use crate::subprocess;
use rounds::{Measured, Times};
use scenario::{Outcome, Scenario};

/// Longer than any number of rounds that is allowed needs.
const TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// How the results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plot,
    Json,
    Csv,
    Svg,
}

struct Options {
    rounds: usize,
    sizes: Vec<usize>,
    format: Format,
}

fn options(mut arguments: Arguments<'_>) -> Result<Options, UsageError> {
    let mut options = Options {
        rounds: 100,
        sizes: vec![0],
        format: Format::Plot,
    };
    while let Some(argument) = arguments.next() {
        let format = match argument {
            "--rounds" => {
                let given = arguments.value("--rounds", "a number from 1 to 10000")?;
                options.rounds = match given.parse() {
                    Ok(number @ 1..=10_000) => number,
                    _ => {
                        return Err(UsageError(format!(
                            "--rounds {given}: expected a number from 1 to 10000"
                        )));
                    }
                };
                continue;
            }
            "--size" => {
                let given = arguments.value("--size", "sizes such as 1M,1G")?;
                let sizes: Option<Vec<_>> = given.split(',').map(scenario::parse_size).collect();
                options.sizes = sizes.ok_or_else(|| {
                    UsageError(format!("--size {given}: expected sizes such as 1M,1G"))
                })?;
                continue;
            }
            "--json" => Format::Json,
            "--csv" => Format::Csv,
            "--svg" => Format::Svg,
            other => return Err(arguments.unexpected(other)),
        };
        if options.format != Format::Plot && options.format != format {
            return Err(UsageError(format!(
                "{argument}: one of --json, --csv and --svg can be written at a time"
            )));
        }
        options.format = format;
    }
    Ok(options)
}

/// Where the numbers come from.
fn machine() -> String {
    let build = if cfg!(debug_assertions) {
        "a debug build: use cargo run --release for numbers to keep"
    } else {
        "an optimized build"
    };
    format!(
        "Linux {}, {} processors, {build}",
        Caller::current().kernel(),
        std::thread::available_parallelism().map_or(1, usize::from),
    )
}

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let Options {
        rounds,
        sizes,
        format,
    } = options(arguments)?;
    let styler = Styler::for_stdout();
    if format == Format::Plot {
        println!(
            "{}.\nEach of {rounds} rounds times 64 threads or 8 processes of every contender, in \
             turn. The bar ends at the\nmiddle round, the line behind it at the slowest tenth. On \
             the right: the middle, and in bare clones.\n",
            machine(),
        );
    }
    let mut outcomes = Vec::new();
    for scenario in Scenario::all(&sizes) {
        let measured = measure(scenario, rounds);
        if format == Format::Plot {
            println!("{}", styler.apply(Style::Title, &scenario.title()));
            match &measured {
                Ok(contenders) => println!("{}", plot::draw(contenders, styler)),
                Err(why) => println!("  {}\n", styler.apply(Style::Bad, why)),
            }
        } else if let Err(why) = &measured {
            output::complain(&format!("{}: {why}", scenario.title()));
        }
        outcomes.push(Outcome { scenario, measured });
    }
    match format {
        Format::Plot => {}
        Format::Json => println!("{}", formats::json(&outcomes)),
        Format::Csv => print!("{}", formats::csv(&outcomes)),
        Format::Svg => print!("{}", formats::svg(&outcomes, &machine())),
    }
    let failed = outcomes.iter().any(|outcome| outcome.measured.is_err());
    Ok(ExitCode::from(u8::from(failed)))
}

/// Times a scenario in a process of its own.
fn measure(scenario: Scenario, rounds: usize) -> Result<Vec<Measured>, String> {
    if let Some(available) = available_memory().filter(|&available| scenario.size > available) {
        return Err(format!(
            "the machine has {} MiB to spare",
            available / (1 << 20)
        ));
    }
    let report = subprocess::run_in_fork_timeout(TIMEOUT, || {
        if scenario.is_on_one_processor() {
            bind_to_one_processor();
        }
        // Written to, so that it is there: fork copies the tables of what is there.
        let memory = vec![1u8; scenario.size];
        let measured = rounds::time(rounds, &mut scenario.entrants());
        drop(black_box(memory));
        match measured {
            Ok(measured) => measured
                .iter()
                .map(|Measured { name, times }| {
                    let Times { middle, slow } = times;
                    format!("{name}\t{middle}\t{slow}\n")
                })
                .collect(),
            Err(why) => format!("failed\t{why}\n"),
        }
    })?;
    report.lines().map(read).collect()
}

fn read(line: &str) -> Result<Measured, String> {
    let fields: Vec<_> = line.split('\t').collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    match (number(1), number(2)) {
        (Some(middle), Some(slow)) => Ok(Measured {
            name: fields[0].to_owned(),
            times: Times { middle, slow },
        }),
        _ => Err(fields.get(1).unwrap_or(&"the report is broken").to_string()),
    }
}

/// Bytes that processes may still use, as the kernel estimates it.
fn available_memory() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse().ok()?;
    kib.checked_mul(1024)
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
