//! What ended threads left in their stacks returns to the system where the program sets a bound.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{FIXED, PIE, elsewhere, program};

/// The program, which has said that its threads have ended, or are about to.
struct Idle(Child);

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Idle {
    fn begin(build: super::Build, arguments: &[&str]) -> Self {
        let mut command = program(build, "idle_memory");
        let command = command.args(arguments).stdout(Stdio::piped());
        let mut child = Self(command.spawn().expect("the program runs"));
        let mut line = String::new();
        let printed = child.0.stdout.take().expect("a pipe");
        BufReader::new(printed)
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "idle\n");
        child
    }

    /// Its resident bytes.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<usize>().ok())
            .expect("a number")
            << 10
    }
}

#[test]
fn ended_threads_keep_no_more_than_the_program_allows() {
    if elsewhere().is_some() {
        println!("SKIP: an emulator's memory is not the program's");
        return;
    }
    for build in [FIXED, PIE] {
        // Without a bound all of it stays.
        let all = Idle::begin(build, &[]).resident();
        assert!(all > 64 << 20, "{}: {all}", build.name);
        for arguments in [&["bound"][..], &["bound", "detached"]] {
            // 4 MiB of stacks are one whole stack of the default size, which keeps its 1 MiB.
            let idle = Idle::begin(build, arguments);
            let until = Instant::now() + Duration::from_secs(60);
            let mut resident = idle.resident();
            // A detached thread may be on its way out.
            while resident > 8 << 20 && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
                resident = idle.resident();
            }
            let name = build.name;
            assert!(resident <= 8 << 20, "{name} {arguments:?}: {resident}");
        }
    }
}
