//! Programs without libc, judged by what they print and how they end.
//!
//! The programs lie under `programs/`; cargo builds them as real static executables, a debug build
//! linked to a fixed address and a small release build as a static PIE.
//!
//! They are programs for this machine, or for the one that `RAWTHREAD_TARGET` names, with the
//! linker and the runner that cargo's own variables give for it (`ci/env-aarch64.sh`).

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

mod aligned;
mod elf;
mod fini;
mod futures;
mod guard_zero;
mod idle_memory;
mod live_memory;
mod refused;
mod streams;
mod words;

/// A way to build all programs.
#[derive(Clone, Copy)]
struct Build {
    name: &'static str,
    release: bool,
    rustflags: &'static [&'static str],
}

/// The build that most tests use. It looks which limit was met.
const FIXED: Build = Build {
    name: "fixed",
    release: false,
    rustflags: &["-Crelocation-model=static", "-Ctarget-feature=+crt-static"],
};

/// The one that relocates itself, as small as the compiler makes it.
const PIE: Build = Build {
    name: "pie",
    release: true,
    rustflags: &["-Ctarget-feature=+crt-static"],
};

/// The other machine's target that the programs are built for, if not this one.
fn elsewhere() -> Option<String> {
    std::env::var("RAWTHREAD_TARGET").ok()
}

/// What the programs are built for.
fn triple() -> String {
    elsewhere().unwrap_or_else(|| format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
}

/// Runs a program that was built for [`triple`].
fn command(path: &Path) -> Command {
    under("", path)
}

/// As [`command`], after what a shell does first.
fn under(first: &str, path: &Path) -> Command {
    let name = triple().to_uppercase().replace('-', "_");
    let runner = std::env::var(format!("CARGO_TARGET_{name}_RUNNER")).unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-c");
    command.arg(format!("{first} exec {runner} \"$0\" \"$@\""));
    command.arg(path);
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("freestanding")
}

/// Runs cargo on the programs' workspace.
fn cargo(arguments: &[&str], target: &Path, rustflags: &[&str]) -> Output {
    let mut arguments = arguments.to_vec();
    let triple = triple();
    arguments.extend(["--target", &triple]);
    cargo_in("tests/freestanding/programs", &arguments, target, rustflags)
}

/// Runs cargo in a directory; one at a time, for a workspace has one lock file.
fn cargo_in(directory: &str, arguments: &[&str], target: &Path, rustflags: &[&str]) -> Output {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let directory = root().join(directory);
    // What the main lock file has is there without a network.
    fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock")).expect("a lock file");
    Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(arguments)
        .args(["--offline", "--quiet", "--target-dir"])
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS")
        .current_dir(directory)
        .output()
        .expect("cargo runs")
}

#[track_caller]
fn assert_built(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// Where the programs are; built by the first test that asks.
fn directory(build: Build) -> &'static Path {
    static FIXED_DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| make(FIXED));
    static PIE_DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| make(PIE));
    if build.release {
        &PIE_DIRECTORY
    } else {
        &FIXED_DIRECTORY
    }
}

fn make(build: Build) -> PathBuf {
    let target = target().join(build.name);
    let mut rustflags = vec!["-Clink-arg=-nostartfiles"];
    rustflags.extend(build.rustflags);
    for package in ["no_alloc", "with_alloc"] {
        let mut arguments = vec!["build", "-p", package];
        arguments.extend(build.release.then_some("--release"));
        if package == "no_alloc" && !build.release {
            arguments.extend(["--features", "diagnosis"]);
        }
        assert_built(&cargo(&arguments, &target, &rustflags));
    }
    let profile = if build.release { "release" } else { "debug" };
    target.join(triple()).join(profile)
}

fn program(build: Build, name: &str) -> Command {
    command(&directory(build).join(name))
}

/// Runs a command; what it printed, and its errors if it did not exit with `status`.
#[track_caller]
fn run(command: &mut Command, status: i32) -> String {
    let output = command.output().expect("the program runs");
    let (printed, errors) = text(&output);
    let ended = output.status;
    assert_eq!(ended.code(), Some(status), "{ended}\n{printed}\n{errors}");
    printed
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a program in both builds.
#[track_caller]
fn run_both(name: &str, arguments: &[&str], status: i32, expected: &str) {
    for build in [FIXED, PIE] {
        let printed = run(program(build, name).args(arguments), status);
        assert_eq!(printed, expected, "{name}, {}", build.name);
    }
}

#[test]
fn four_threads_say_hello() {
    for build in [FIXED, PIE] {
        let printed = run(&mut program(build, "hello"), 10);
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        let expected = [1, 2, 3, 4].map(|number| format!("hello from thread {number}"));
        assert_eq!(lines, expected);
    }
}

#[test]
fn the_programs_are_static_and_hold_no_libc() {
    for build in [FIXED, PIE] {
        for entry in fs::read_dir(directory(build)).expect("built programs") {
            let path = entry.expect("an entry").path();
            // Other than programs, cargo puts files with a dot in their names there.
            let of_c = path.ends_with("ifunc");
            if path.is_file() && !path.to_string_lossy().contains('.') && !of_c {
                elf::assert_free_of_libc(&path, build.release);
            }
        }
    }
}

/// Builds the example with these arguments and returns the program, which must say hello.
fn example_that_says_hello(name: &str, arguments: &[&str], profile: &str) -> PathBuf {
    let target = target().join(name);
    let mut arguments: Vec<&str> = arguments.to_vec();
    let elsewhere = elsewhere();
    if let Some(triple) = &elsewhere {
        arguments.extend(["--target", triple]);
    }
    assert_built(&cargo_in("examples/no-libc", &arguments, &target, &[]));
    let path = target
        .join(elsewhere.unwrap_or_default())
        .join(profile)
        .join("no-libc");
    let printed = run(&mut command(&path), 0);
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    let expected = [1, 2, 3, 4].map(|number| format!("hello from {number}"));
    assert_eq!(lines, expected);
    path
}

/// As README says to build it; the bound allows for other compilers, and for AArch64, whose code is larger: 17,784 bytes
/// by GNU ld. `ci/size.sh` holds x86-64 under 12 KiB.
#[test]
fn the_example_is_small_and_says_hello() {
    let path = example_that_says_hello("example", &["build", "--release"], "release");
    elf::assert_free_of_libc(&path, true);
    let len = fs::metadata(&path).expect("the program").len();
    println!("hello from four threads: {len} bytes");
    assert!(len <= 18 * 1024, "{len} bytes");
}

/// A static PIE without optimisation: what it does before it has relocated itself is not inlined.
#[test]
fn the_example_says_hello_without_optimisation() {
    example_that_says_hello("example-debug", &["build"], "debug");
}

/// The same, optimised without link-time optimisation.
#[test]
fn the_example_says_hello_without_link_time_optimisation() {
    let optimised = [
        "build",
        "--config",
        "profile.dev.opt-level=3",
        "--config",
        "profile.dev.lto=false",
    ];
    example_that_says_hello("example-o3", &optimised, "debug");
}

#[test]
fn a_thousand_spawns_and_two_hundred_at_once() {
    run_both("sequential_and_many", &[], 0, "1000 and 200\n");
}

#[test]
fn scopes_lend() {
    run_both("scope", &[], 0, "36\n");
}

#[test]
fn parked_threads_wake() {
    run_both("park", &[], 0, "200 turns\n");
}

#[test]
fn sets_are_joined_in_the_order_of_their_ends() {
    run_both("sets", &[], 0, "sets\n");
}

#[test]
fn thread_locals_go_newest_first_and_only_once() {
    let of_a_thread = "third sees first first, 1\n\
                       late\n\
                       second sees first first, 2\n\
                       first sees first gone, 3\n\
                       joined\n";
    let of_main = "first sees first gone, 1\nlate\n";
    run_both("locals", &[], 0, &format!("{of_a_thread}{of_main}"));
}

#[test]
fn c_code_has_its_own_thread_locals() {
    run_both("c_tls", &[], 0, "C's thread-locals are right\n");
}

/// More than a page, by which lld does not align the segment itself.
#[test]
fn thread_locals_may_be_aligned_beyond_a_page() {
    run_both("c_aligned", &[], 0, "aligned\n");
}

#[test]
fn the_stack_protector_ends_the_process() {
    for build in [FIXED, PIE] {
        let output = program(build, "c_tls").arg("smash").output().expect("runs");
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
        // An emulator adds a line of its own.
        let (_, errors) = text(&output);
        let said = errors.starts_with("fatal: a stack frame was overwritten\n");
        assert!(said, "{errors}");
    }
}

#[test]
fn a_panic_ends_its_thread_alone() {
    for build in [FIXED, PIE] {
        let output = program(build, "panics").output().expect("runs");
        let (printed, errors) = text(&output);
        assert_eq!(printed, "42\n", "{errors}");
        assert_eq!(output.status.code(), Some(0));
        let (first, rest) = errors.trim_start().split_once('\n').expect("lines");
        assert!(first.starts_with("thread 'unlucky' ("), "{first}");
        assert!(
            first.contains(") panicked at no_alloc/src/bin/panics.rs:"),
            "{first}"
        );
        assert!(rest.starts_with("message 2\n"), "{rest}");
        assert_eq!(errors.matches("thread '<unnamed>'").count(), 20);
    }
}

#[test]
fn a_panic_that_cannot_be_outlived_ends_the_process() {
    let cases = [
        ("main", Some(101), None, "of main"),
        ("memory", Some(101), None, "thread 'main' ("),
        ("scope", Some(101), None, "in a scope"),
        ("twice", None, Some(libc::SIGABRT), "while panicking"),
        ("destructor", None, Some(libc::SIGABRT), "in a destructor"),
    ];
    for build in [FIXED, PIE] {
        for (case, code, signal, said) in cases {
            let output = program(build, "panics").arg(case).output().expect("runs");
            let (_, errors) = text(&output);
            assert_eq!(output.status.code(), code, "{case}: {errors}");
            assert_eq!(output.status.signal(), signal, "{case}: {errors}");
            assert!(errors.contains(said), "{case}: {errors}");
        }
    }
}

#[test]
fn a_stack_overflow_dies_on_the_guard() {
    for build in [FIXED, PIE] {
        let output = program(build, "overflow").output().expect("runs");
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert_eq!(text(&output).0, "921600\n");
    }
}

#[test]
fn a_limit_is_an_error_that_names_it_if_asked_to() {
    for build in [FIXED, PIE] {
        let path = directory(build).join("limit");
        let printed = run(&mut under("ulimit -v 100000;", &path), 0);
        let expected = if build.release {
            "a limit is reached, so mmap could not map memory for a thread: ENOMEM (12)."
        } else {
            "the limit RLIMIT_AS (102400000) is reached"
        };
        assert!(printed.contains(expected), "{printed}");
    }
}

#[test]
fn a_limit_of_tasks_is_one_too() {
    for build in [FIXED, PIE] {
        let printed = run(program(build, "limit").arg("tasks"), 0);
        let expected = if build.release {
            "a limit is reached, so clone3 could not make a task: EAGAIN (11)."
        } else {
            "the limit RLIMIT_NPROC (20) is reached"
        };
        print!("{printed}");
        assert!(
            printed.starts_with("SKIP: ") || printed.contains(expected),
            "{printed}"
        );
    }
}

#[test]
fn a_pidfd_is_ready_at_the_threads_end() {
    for build in [FIXED, PIE] {
        let printed = run(&mut program(build, "pidfd"), 0);
        print!("{printed}");
        assert!(
            printed.starts_with("SKIP: ") || printed == "pidfds\n",
            "{printed}"
        );
    }
}

#[test]
fn relocated_addresses_cannot_be_overwritten() {
    for build in [FIXED, PIE] {
        let path = directory(build).join("relro");
        assert!(!build.release || elf::is_relro(&path));
        assert_eq!(run(&mut program(build, "relro"), 0), "6\n");
        let output = program(build, "relro").arg("write").output().expect("runs");
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        assert_eq!(text(&output).0, "6\n");
    }
}

#[test]
fn a_join_is_not_needed() {
    run_both("detached", &[], 0, "3000\n");
}

#[test]
fn warm_threads_serve_tasks_that_cannot_tell() {
    run_both("warm", &[], 0, "warm\n");
}

#[test]
fn warm_threads_lose_no_task() {
    run_both("warm", &["storm"], 0, "warm\n");
}

#[test]
fn a_panic_of_a_task_ends_its_thread_alone() {
    run_both("warm", &["panic"], 0, "warm\n");
}

#[test]
fn signals_reach_their_thread_unless_masked() {
    run_both("signals", &[], 0, "not delivered\n");
    for build in [FIXED, PIE] {
        let output = program(build, "signals")
            .arg("deliver")
            .output()
            .expect("runs");
        assert_eq!(output.status.signal(), Some(libc::SIGUSR1));
        assert_eq!(text(&output).0, "");
    }
}

#[test]
fn arguments_environment_and_memory_functions() {
    for build in [FIXED, PIE] {
        // Without a limit it is not known where the main thread's stack ends.
        let mut command = under("ulimit -s 8192;", &directory(build).join("start"));
        command.args(["one", ""]).env("RAWTHREAD", "is=here");
        assert_eq!(run(&mut command, 3), "3\n");
    }
}

#[test]
fn processes_fork_and_share() {
    run_both("children", &[], 0, "children\n");
}

#[test]
fn commands_run_with_an_allocator_of_the_programs_own() {
    run_both("command", &[], 0, "commands\n");
}

#[test]
fn spawn_refuses_in_a_process_that_a_libc_started() {
    let target = target().join("libc_owned");
    // Elsewhere the shared libraries of that machine may be missing.
    let rustflags: &[_] = match elsewhere() {
        Some(_) => &["-Ctarget-feature=+crt-static"],
        None => &[],
    };
    assert_built(&cargo(&["build", "-p", "libc_owned"], &target, rustflags));
    let path = target.join(triple()).join("debug/libc_owned");
    let printed = run(&mut command(&path), 0);
    assert!(printed.contains("was not initialized"), "{printed}");
    assert!(printed.ends_with("std's threads work\n"), "{printed}");
}

#[test]
fn a_dynamically_linked_program_says_what_it_lacks() {
    if elsewhere().is_some() {
        println!("SKIP: another machine's loader is not looked for");
        return;
    }
    let target = target().join("dynamic");
    let rustflags = ["-Clink-arg=-nostartfiles", "-Ctarget-feature=-crt-static"];
    let arguments = ["build", "-p", "no_alloc", "--bin", "hello"];
    assert_built(&cargo(&arguments, &target, &rustflags));
    let output = Command::new(target.join(triple()).join("debug/hello"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(127), "{}", output.status);
    assert!(text(&output).1.contains("link with -static-pie"));
}

#[test]
fn start_and_hosted_exclude_each_other() {
    for feature in ["start", "panic-thread"] {
        let features = format!("rawthread/hosted,rawthread/{feature}");
        let arguments = ["check", "-p", "libc_owned", "--features", &features];
        let output = cargo(&arguments, &target().join("libc_owned"), &[]);
        let (_, errors) = text(&output);
        assert!(!output.status.success());
        let said = format!("the feature `{feature}` is for programs without a C library");
        assert!(errors.contains(&said), "{errors}");
    }
}
