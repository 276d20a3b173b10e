//! Every thread of the program as Prometheus text: what a scrape of `/metrics` would return.
//!
//! `cargo run --release --example metrics [THREADS]`
//!
//! A walk over the threads makes no system call. Each thread is asked once for what the kernel knows: its
//! processor time (one call), its stack (one or two with a stack of 2 MiB) and its state (three). The
//! last lines, on standard error, say how long that took, beside a walk over `/proc/self/task` that reads
//! `stat` alone, which has 15 bytes of each name and nothing of the stacks. The two take turns.

use std::fmt::{Display, Write};
use std::time::Instant;

use rawthread::{Builder, ThreadInfo, ThreadState, threads};

/// What a thread is asked for; what it could not answer any more, for it has ended, is left out.
struct Sample {
    labels: String,
    cpu_seconds: Option<f64>,
    stack_bytes: Option<usize>,
    touched_bytes: Option<usize>,
    is_running: Option<u8>,
}

impl Sample {
    fn of(thread: &ThreadInfo) -> Self {
        let stack = thread.stack().ok();
        let state = thread.state().ok();
        Self {
            labels: labels(thread),
            cpu_seconds: thread.cpu_time().ok().map(|time| time.as_secs_f64()),
            stack_bytes: stack.map(|stack| stack.size),
            touched_bytes: stack.map(|stack| stack.high_water),
            is_running: state.map(|state| u8::from(state == ThreadState::Running)),
        }
    }
}

fn labels(thread: &ThreadInfo) -> String {
    let name = thread
        .name()
        .unwrap_or(if thread.is_idle_worker() { "idle" } else { "" });
    // What a label may not contain.
    let name = name
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{{name=\"{name}\",tid=\"{}\"}}", thread.tid())
}

fn family<T: Display>(
    text: &mut String,
    samples: &[Sample],
    (name, kind, help): (&str, &str, &str),
    value: impl Fn(&Sample) -> Option<T>,
) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for sample in samples {
        if let Some(value) = value(sample) {
            writeln!(text, "{name}{} {value}", sample.labels)?;
        }
    }
    Ok(())
}

pub(crate) fn scrape() -> Result<String, std::fmt::Error> {
    let samples: Vec<_> = threads().map(|thread| Sample::of(&thread)).collect();
    let mut text = String::new();
    let about = (
        "thread_cpu_seconds_total",
        "counter",
        "Processor time of the thread.",
    );
    family(&mut text, &samples, about, |sample| sample.cpu_seconds)?;
    let about = ("thread_stack_bytes", "gauge", "Size of the thread's stack.");
    family(&mut text, &samples, about, |sample| sample.stack_bytes)?;
    let about = (
        "thread_stack_touched_bytes",
        "gauge",
        "From its top to its deepest page that was touched.",
    );
    family(&mut text, &samples, about, |sample| sample.touched_bytes)?;
    let about = (
        "thread_running",
        "gauge",
        "Whether the thread runs or is ready to.",
    );
    family(&mut text, &samples, about, |sample| sample.is_running)?;
    let help = "# HELP threads Live threads of rawthread.\n# TYPE threads gauge";
    writeln!(text, "{help}\nthreads {}", samples.len())?;
    Ok(text)
}

/// What a program without a list of its threads does.
fn read_all_stats() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    tasks
        .filter_map(|task| std::fs::read(task.ok()?.path().join("stat")).ok())
        .map(|stat| stat.len())
        .sum()
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(4, |text| text.parse().expect("a number"));
    let workers: Vec<_> = (0..count)
        .map(|n| {
            let builder = Builder::new()
                .name(format!("worker {n}"))
                .stack_size(64 * 1024);
            builder.spawn(rawthread::park).expect("a thread")
        })
        .collect();
    /// What is timed, in turns.
    type Work = fn() -> usize;
    let works: [(&str, Work); 6] = [
        ("the scrape", || scrape().expect("a String takes all").len()),
        ("of it: the walk", || threads().count()),
        ("walk and cpu_time", || {
            threads().filter(|thread| thread.cpu_time().is_ok()).count()
        }),
        ("walk and stack", || {
            threads().filter(|thread| thread.stack().is_ok()).count()
        }),
        ("walk and state", || {
            threads().filter(|thread| thread.state().is_ok()).count()
        }),
        ("every stat of /proc/self/task", read_all_stats),
    ];
    let mut times = works.map(|_| Vec::new());
    for _ in 0..5 {
        for ((_, work), times) in works.iter().zip(&mut times) {
            let start = Instant::now();
            assert!(work() > 0);
            times.push(start.elapsed());
        }
    }
    print!("{}", scrape().expect("a String takes all"));
    eprintln!("{count} threads, medians of 5:");
    for ((what, _), mut times) in works.iter().zip(times) {
        times.sort();
        eprintln!("{:10.1?}  {what}", times[times.len() / 2]);
    }
    for worker in workers {
        worker.thread().unpark();
        worker.join().expect("it parks");
    }
}
