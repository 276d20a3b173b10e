//! Running a program from a parent with much memory: this crate, std, and fork then exec.
//!
//! ```sh
//! cargo bench --bench exec               # 1 GiB resident
//! cargo bench --bench exec -- --quick    # only shows that it runs
//! ```
//!
//! One turn runs `/bin/true` and waits for it. This crate and a rival take turns in pairs in one
//! process, and alternate in going first; a ratio is the median of the pairs' ratios, so that other load
//! slows both alike. Before each timed turn there is an untimed one of the same kind, because the first
//! turn after a fork pays for the pages that the fork write-protected. The memory is touched and made of
//! 4 KiB pages: fork copies a table entry for each.
//!
//! Two more rows, beside std's best: 64 MB of a program's output, and spawns that fail, twenty a turn, where
//! the environment has 3,000 variables.
#![allow(
    unsafe_code,
    reason = "forks, and maps the memory that makes fork dear"
)]

mod common {
    #[allow(dead_code, reason = "the other bench uses the rest")]
    pub(crate) mod machine;
}

use std::time::Instant;

const PROGRAM: &str = "/bin/true";

/// The rival's name, a turn of this crate and one of the rival, and how many pairs are enough.
type Row = (&'static str, fn(), fn(), usize);

const ROWS: [Row; 5] = [
    ("std::process::Command (posix_spawn)", ours, std_best, 400),
    ("std with pre_exec (fork)", ours, std_fork, 30),
    ("fork, execv, waitpid", ours, by_fork, 30),
    ("std: output of 64 MB", our_output, std_output, 40),
    (
        "std: 20 spawns that fail, 3,000 variables",
        our_failures,
        std_failures,
        200,
    ),
];

const OUTPUT: &str = "64000000";
const FAILURES: usize = 20;

/// For the row of failures, the last.
fn set_variables() {
    for index in 0..3000 {
        // SAFETY: this program has no other thread.
        unsafe { std::env::set_var(format!("VARIABLE_{index}"), "a value of some length") };
    }
}

fn our_output() {
    let mut command = rawthread::process::Command::new("/usr/bin/head");
    let output = command.args(["-c", OUTPUT, "/dev/zero"]).output().unwrap();
    assert_eq!(output.stdout.len(), 64_000_000);
}

fn std_output() {
    let mut command = std::process::Command::new("/usr/bin/head");
    let output = command.args(["-c", OUTPUT, "/dev/zero"]).output().unwrap();
    assert_eq!(output.stdout.len(), 64_000_000);
}

fn our_failures() {
    for _ in 0..FAILURES {
        assert!(
            rawthread::process::Command::new("/no/such")
                .spawn()
                .is_err()
        );
    }
}

fn std_failures() {
    for _ in 0..FAILURES {
        assert!(std::process::Command::new("/no/such").spawn().is_err());
    }
}

fn ours() {
    let status = rawthread::process::Command::new(PROGRAM).status().unwrap();
    assert!(status.success());
}

fn std_best() {
    let status = std::process::Command::new(PROGRAM).status().unwrap();
    assert!(status.success());
}

fn std_fork() {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(PROGRAM);
    // SAFETY: the closure does nothing. Any closure makes std fork.
    unsafe { command.pre_exec(|| Ok(())) };
    assert!(command.status().unwrap().success());
}

fn by_fork() {
    let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
    let mut status = -1;
    // SAFETY: the child only execs; the array ends in null.
    unsafe {
        match libc::fork() {
            0 => {
                libc::execv(arguments[0], arguments.as_ptr());
                libc::_exit(127);
            }
            pid => assert_eq!(libc::waitpid(pid, &mut status, 0), pid),
        }
    }
    assert_eq!(status, 0);
}

/// `len` bytes of resident memory in ordinary pages, kept until the end.
fn touch(len: usize) {
    // SAFETY: a fresh mapping, written within its bounds.
    unsafe {
        let memory = libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        libc::madvise(memory, len, libc::MADV_NOHUGEPAGE);
        for page in (0..len).step_by(4096) {
            memory.cast::<u8>().add(page).write_volatile(1);
        }
    }
}

/// Microseconds of one run, after one that is not timed.
fn turn(run: fn()) -> f64 {
    run();
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e6
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    // Cargo passes --bench when it benches, and nothing when it tests.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let quick = has("--quick") || !has("--bench");
    let (mebibytes, pairs) = if quick { (16, 2) } else { (1024, usize::MAX) };
    touch(mebibytes << 20);
    println!("{}", common::machine::describe());
    println!("{mebibytes} MiB resident in the parent, pairs of turns");
    if quick {
        println!("Quick: these figures mean nothing.");
    }
    println!("\n| rival | µs | rawthread, µs | rawthread ÷ rival |\n|---|---|---|---|");
    for (name, ours, run, most) in ROWS {
        if std::ptr::fn_addr_eq(ours, our_failures as fn()) {
            set_variables();
        }
        let pairs = pairs.min(most);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            if pair % 2 == 0 {
                own.push(turn(ours));
                theirs.push(turn(run));
            } else {
                theirs.push(turn(run));
                own.push(turn(ours));
            }
        }
        let ratio = median(
            own.iter()
                .zip(&theirs)
                .map(|(own, its)| own / its)
                .collect(),
        );
        let (own, theirs) = (median(own), median(theirs));
        println!("| {name} | {theirs:.0} | {own:.0} | {ratio:.3} |");
    }
    println!(
        "\nWanted: at most 0.1 of fork and exec, at most 1.0 of std's best and of
its output, at most 1.05 of its failures."
    );
}
