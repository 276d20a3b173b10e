//! Running a program from a parent with much memory: this crate, std, and fork then exec.
//!
//! ```sh
//! cargo bench --bench exec               # 1 GiB resident
//! cargo bench --bench exec -- --quick    # only shows that it runs
//! ```
//!
//! One turn runs `/bin/true` and waits for it. This crate meets each rival in pairs of turns in one
//! process, first one and then the other going first; a ratio is the median of the pairs' ratios,
//! so the machine's other load meets both alike. A turn is preceded by an untimed one of the
//! same kind: after a fork, the next to run pays for the pages that it left write-protected.
//! The memory is touched, in ordinary pages: what fork must copy is a table entry for each.
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

/// A way to run a program to its end, and how many pairs of turns are enough.
type Contender = (&'static str, fn(), usize);

const OURS: fn() = ours;

const RIVALS: [Contender; 3] = [
    ("std::process::Command (posix_spawn)", std_best, 400),
    ("std with pre_exec (fork)", std_fork, 30),
    ("fork, execv, waitpid", by_fork, 30),
];

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
    for (name, run, most) in RIVALS {
        let pairs = pairs.min(most);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            if pair % 2 == 0 {
                own.push(turn(OURS));
                theirs.push(turn(run));
            } else {
                theirs.push(turn(run));
                own.push(turn(OURS));
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
    println!("\nWanted: at most 0.1 of fork and exec, at most 1.0 of std's best.");
}
