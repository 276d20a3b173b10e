//! `lab bench`: what a thread costs, against std and against the floor.
#![allow(unsafe_code, reason = "binds a process to one processor")]

mod field;
mod floor;
mod plot;

use std::process::ExitCode;
use std::time::Duration;

use rawthread::flags::Caller;

use crate::cli::{Arguments, Misuse};
use crate::paint::{Paint, Tone};
use crate::stage;
use field::Times;

/// What is timed.
struct Scene {
    title: &'static str,
    /// Threads alive at once.
    together: usize,
    one_processor: bool,
}

const SCENES: [Scene; 2] = [
    Scene {
        title: "Spawn one thread and join it, on one processor",
        together: 1,
        one_processor: true,
    },
    Scene {
        title: "Spawn 64 threads, then join them, on all processors",
        together: 64,
        one_processor: false,
    },
];

/// Longer than any round count that is allowed needs.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, Misuse> {
    let mut rounds = 100;
    while let Some(argument) = arguments.next() {
        match argument {
            "--rounds" => {
                let given = arguments.value("--rounds", "a number from 1 to 10000")?;
                rounds = match given.parse() {
                    Ok(number @ 1..=10_000) => number,
                    _ => {
                        return Err(Misuse(format!(
                            "--rounds {given}: expected a number from 1 to 10000"
                        )));
                    }
                };
            }
            other => return Err(arguments.unexpected(other)),
        }
    }
    let paint = Paint::for_stdout();
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
    for scene in &SCENES {
        println!("{}", paint.tone(Tone::Title, scene.title));
        match measure(scene, rounds) {
            Ok(field) => println!("{}", plot::draw(&field, paint)),
            Err(why) => {
                failed = true;
                println!("  {}\n", paint.tone(Tone::Bad, &why));
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// Times the field in a process of its own.
fn measure(scene: &Scene, rounds: usize) -> Result<Vec<(String, Times)>, String> {
    let report = stage::apart_within(PATIENCE, || {
        if scene.one_processor {
            bind_to_one_processor();
        }
        match field::time(rounds, scene.together) {
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
