//! Every thread of the program as Prometheus text: what a scrape of `/metrics` would return.
//!
//! `cargo run --release --example metrics [THREADS]`
//!
//! A walk over the threads makes no system call. Of each thread it is asked what the kernel knows: its
//! processor time (one call), its stack (one or two with a stack of 2 MiB) and its state (three). The
//! last line, on standard error, says how long that took.

use std::fmt::Write;
use std::time::Instant;

use rawthread::{Builder, ThreadInfo, threads};

/// What a label may not contain, escaped.
fn labels(thread: &ThreadInfo) -> String {
    let name = thread
        .name()
        .unwrap_or(if thread.is_idle_worker() { "idle" } else { "" });
    let name = name
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{{name=\"{name}\",tid=\"{}\"}}", thread.tid())
}

/// One line for each thread that is still there when it is asked.
fn family<T: std::fmt::Display>(
    text: &mut String,
    (name, kind, help): (&str, &str, &str),
    value: impl Fn(&ThreadInfo) -> Option<T>,
) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for thread in threads() {
        if let Some(value) = value(&thread) {
            writeln!(text, "{name}{} {value}", labels(&thread))?;
        }
    }
    Ok(())
}

fn scrape() -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let cpu = (
        "thread_cpu_seconds_total",
        "counter",
        "Processor time of the thread.",
    );
    family(&mut text, cpu, |thread| {
        Some(thread.cpu_time().ok()?.as_secs_f64())
    })?;
    let size = ("thread_stack_bytes", "gauge", "Size of the thread's stack.");
    let touched = (
        "thread_stack_touched_bytes",
        "gauge",
        "Its deepest page that was touched.",
    );
    family(&mut text, size, |thread| Some(thread.stack().ok()?.size))?;
    family(&mut text, touched, |thread| {
        Some(thread.stack().ok()?.high_water)
    })?;
    let state = (
        "thread_running",
        "gauge",
        "Whether the thread runs or is ready to.",
    );
    family(&mut text, state, |thread| {
        Some(u8::from(
            thread.state().ok()? == rawthread::ThreadState::Running,
        ))
    })?;
    writeln!(text, "# TYPE threads gauge\nthreads {}", threads().count())?;
    Ok(text)
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
    let start = Instant::now();
    let text = scrape().expect("a String takes all");
    let took = start.elapsed();
    print!("{text}");
    eprintln!("{count} threads, {} bytes in {took:?}", text.len());
    for worker in workers {
        worker.thread().unpark();
        worker.join().expect("it parks");
    }
}
