// What only a process of its own can show. Each test runs itself again as a child, which finds the
// test's name in its environment.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

const MARK: &str = "RAWTHREAD_WHOLE_PROCESS";

/// Whether this is the child that plays `name`.
fn is_child(name: &str) -> bool {
    std::env::var(MARK).is_ok_and(|mark| mark == name)
}

/// The child that plays `name`: this very test of this very module.
fn child(name: &str) -> Command {
    let module = module_path!()
        .split_once("::")
        .map_or("", |(_, module)| module);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            &format!("{module}::{name}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(MARK, name);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_environment_sizes_stacks_that_nobody_sized() {
    const NAME: &str = "the_environment_sizes_stacks_that_nobody_sized";
    #[inline(never)]
    fn large() -> usize {
        let block = std::hint::black_box([1u8; 12 << 20]);
        block.iter().map(|byte| usize::from(*byte)).sum()
    }
    if is_child(NAME) {
        let sum = thread::spawn(large).join().unwrap();
        assert_eq!(sum, 12 << 20);
        return;
    }
    // Unoptimised code keeps the block twice.
    let output = child(NAME)
        .env("RUST_MIN_STACK", "40000000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // Nonsense counts as nothing; 12 MiB then run over the guard of 2 MiB.
    let output = child(NAME).env("RUST_MIN_STACK", "a lot").output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
}

#[test]
fn spawn_panics_where_a_builder_returns_an_error() {
    const NAME: &str = "spawn_panics_where_a_builder_returns_an_error";
    if is_child(NAME) {
        // Warm nothing up: the first stack is already too much.
        let limit = libc::rlimit {
            rlim_cur: 1 << 20,
            rlim_max: 1 << 20,
        };
        #[allow(unsafe_code, reason = "sets a limit of this process's own")]
        // SAFETY: a plain system call.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        assert_eq!(set, 0);
        let refused = thread::Builder::new().spawn(|| ()).map(drop).is_err();
        let panicked = std::panic::catch_unwind(|| drop(thread::spawn(|| ()))).is_err();
        assert!(refused && panicked, "{refused} {panicked}");
        return;
    }
    let output = child(NAME).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_process_ends_with_main_whatever_threads_do() {
    const NAME: &str = "the_process_ends_with_main_whatever_threads_do";
    if is_child(NAME) {
        drop(thread::spawn(|| {
            loop {
                thread::park();
            }
        }));
        return;
    }
    let output = child(NAME).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_panic_message_names_the_thread() {
    const NAME: &str = "the_panic_message_names_the_thread";
    if is_child(NAME) {
        let named = thread::Builder::new().name("unlucky".into());
        assert!(named.spawn(|| panic!("thirteen")).unwrap().join().is_err());
        return;
    }
    let output = child(NAME).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("thread 'unlucky' (") && text.contains("thirteen"),
        "{text}"
    );
}

#[test]
fn a_sleep_goes_on_after_signals() {
    const NAME: &str = "a_sleep_goes_on_after_signals";
    if is_child(NAME) {
        extern "C" fn ignore(_: i32) {}
        let time = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 2000,
            },
            it_value: libc::timeval {
                tv_sec: 0,
                tv_usec: 2000,
            },
        };
        #[allow(
            unsafe_code,
            reason = "a handler that does nothing, and a timer for it"
        )]
        // SAFETY: the handler is async-signal-safe.
        unsafe {
            libc::signal(libc::SIGALRM, ignore as *const () as libc::sighandler_t);
            libc::setitimer(libc::ITIMER_REAL, &time, std::ptr::null_mut());
        }
        let start = Instant::now();
        thread::sleep(Duration::from_millis(60));
        assert!(start.elapsed() >= Duration::from_millis(60));
        return;
    }
    let output = child(NAME).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
