//! The memory of a live thread that does little: a page of stack, and some 270 bytes of control words.
#![allow(unsafe_code, reason = "asks libc for the page size")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{FIXED, PIE, elsewhere, program};

/// Resident bytes of the program while so many of its threads are alive.
fn resident(build: super::Build, threads: usize) -> usize {
    let mut command = program(build, "live_memory");
    let command = command.arg(threads.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut line = String::new();
    let printed = child.stdout.take().expect("a pipe");
    let read = BufReader::new(printed).read_line(&mut line);
    // `statm` is an estimate.
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()));
    let _ = child.kill();
    let _ = child.wait();
    read.expect("a line");
    assert_eq!(line, "live\n");
    let text = text.expect("procfs");
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = kib.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<usize>().ok())
        .expect("a number")
        << 10
}

#[test]
fn a_live_thread_takes_one_page_of_stack() {
    if elsewhere().is_some() {
        println!("SKIP: an emulator's memory is not the program's");
        return;
    }
    const MORE: usize = 1000;
    // SAFETY: reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for build in [FIXED, PIE] {
        let (few, many) = (resident(build, 100), resident(build, 100 + MORE));
        let each = many.saturating_sub(few) / MORE;
        assert!((page..page + 512).contains(&each), "{}: {each}", build.name);
    }
}
