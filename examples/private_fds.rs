//! One descriptor table for all threads against one for each:
//! `cargo run --release --example private_fds [THREADS]...`
//!
//! A process has one descriptor table, which its threads share (`CLONE_FILES`): each `open`,
//! `accept` and `close` takes the table's lock, and whenever the table must grow, the opening thread
//! waits until every processor has passed through the scheduler (an RCU grace period, some
//! milliseconds). [`Builder::private_fds`] gives a thread a table of its own, which grows without
//! that wait.
//!
//! Three loads, each run by turns with shared and with private tables:
//! * `churn`: each thread opens and closes one file, again and again: the lock alone;
//! * `open`: each thread opens 200 files and keeps them: the table grows;
//! * `accept`: each thread accepts 100 connections of its own and keeps both ends: the same.
//!
//! Prints the medians and their ratio: above 1, private tables are faster. `churn` gains where many
//! processors collide on the lock, and nothing to speak of with two.
#![allow(unsafe_code, reason = "keeps private_fds's contract")]

use std::fs::File;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Barrier;
use std::time::Instant;

use rawthread::Builder;

/// An odd number, so that there is a median.
const ROUNDS: usize = 15;

/// What a thread does, given its number; all descriptors are its own.
type Load = fn(usize) -> io::Result<()>;

const LOADS: [(&str, Load); 3] = [("churn", churn), ("open", open), ("accept", accept)];

fn main() -> io::Result<()> {
    let mut counts = Vec::new();
    for word in std::env::args().skip(1) {
        match word.parse() {
            Ok(count @ 1..=1000) => counts.push(count),
            _ => {
                eprintln!("usage: private_fds [THREADS, 1 to 1000]...");
                std::process::exit(2);
            }
        }
    }
    if counts.is_empty() {
        counts = vec![1, 2, 4, 16, 64];
    }
    println!("load    threads   shared     private    shared / private");
    for (name, load) in LOADS {
        for &threads in &counts {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for private in [false, true] {
                    times[usize::from(private)].push(turn(threads, load, private)?);
                }
            }
            let [shared, private] = times.map(median);
            println!(
                "{name:<7} {threads:>7}  {:>7.2} ms {:>7.2} ms  {:>6.2}",
                shared * 1e3,
                private * 1e3,
                shared / private
            );
        }
    }
    Ok(())
}

/// One measurement on a new thread with a new table, for a table never shrinks: what its threads
/// share is that one.
fn turn(threads: usize, load: Load, private: bool) -> io::Result<f64> {
    // SAFETY: no descriptor goes in, and none comes out but by number in an error.
    let new = unsafe { Builder::new().private_fds() };
    new.spawn(move || measure(threads, load, private))?
        .join()
        .expect("no load panics")
}

/// Seconds from the first thread's start to the last one's end.
fn measure(threads: usize, load: Load, private: bool) -> io::Result<f64> {
    let ready = Barrier::new(threads);
    rawthread::scope(|scope| {
        let running = (0..threads)
            .map(|number| {
                let ready = &ready;
                let mut builder = Builder::new().stack_size(64 * 1024);
                if private {
                    // SAFETY: the closure captures no descriptor, opens and closes its own, and
                    // returns none but by number in an error.
                    builder = unsafe { builder.private_fds() };
                }
                builder.spawn_scoped(scope, move || {
                    ready.wait();
                    let start = Instant::now();
                    load(number).map(|()| (start, Instant::now()))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let spans = running
            .into_iter()
            .map(|thread| thread.join().expect("no load panics"))
            .collect::<io::Result<Vec<_>>>()?;
        let start = spans.iter().map(|span| span.0).min();
        let end = spans.iter().map(|span| span.1).max();
        Ok(end
            .zip(start)
            .map_or(0.0, |(end, start)| (end - start).as_secs_f64()))
    })
}

fn churn(_number: usize) -> io::Result<()> {
    (0..1000).try_for_each(|_| File::open("/dev/null").map(drop))
}

fn open(_number: usize) -> io::Result<()> {
    let files: io::Result<Vec<_>> = (0..200).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}

fn accept(number: usize) -> io::Result<()> {
    let name = format!("private_fds-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(&address)?;
    let connect = || Ok((UnixStream::connect_addr(&address)?, listener.accept()?));
    let connections: io::Result<Vec<_>> = (0..100).map(|_| connect()).collect();
    connections.map(drop)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
