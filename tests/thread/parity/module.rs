// What only a process of its own can show. Each test runs itself again as a child, which finds the
// test's name in its environment.

use std::time::{Duration, Instant};

use crate::common;

/// The whole name of a test of this module, which is compiled twice.
fn named(test: &str) -> String {
    let (_, module) = module_path!().split_once("::").unwrap();
    format!("{module}::{test}")
}

#[test]
fn the_environment_sizes_stacks_without_a_size() {
    let name = &named("the_environment_sizes_stacks_without_a_size");
    #[inline(never)]
    fn large() -> usize {
        let block = std::hint::black_box([1u8; 12 << 20]);
        block.iter().map(|byte| usize::from(*byte)).sum()
    }
    if common::is_child(name) {
        let sum = thread::spawn(large).join().unwrap();
        assert_eq!(sum, 12 << 20);
        return;
    }
    // Unoptimised code keeps the block twice.
    let again = |size| {
        let mut command = common::rerun_self(name);
        command.env("RUST_MIN_STACK", size).output().unwrap()
    };
    common::assert_output(name, &again("40000000"));
    // Nonsense counts as nothing; 12 MiB then run over the guard of 2 MiB.
    let output = again("a lot");
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn spawn_panics_where_a_builder_returns_an_error() {
    if common::in_subprocess(&named("spawn_panics_where_a_builder_returns_an_error")) {
        // Warm nothing up: the first stack is already too much.
        let limit = libc::rlimit {
            rlim_cur: common::no_room_for_a_stack(),
            rlim_max: libc::RLIM_INFINITY,
        };
        #[allow(unsafe_code, reason = "sets a limit of this process's own")]
        // SAFETY: a plain system call.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        assert_eq!(set, 0);
        let refused = thread::Builder::new().spawn(|| ()).map(drop).is_err();
        let panicked = std::panic::catch_unwind(|| drop(thread::spawn(|| ()))).is_err();
        assert!(refused && panicked, "{refused} {panicked}");
    }
}

#[test]
fn the_process_ends_with_main_whatever_threads_do() {
    if common::in_subprocess(&named("the_process_ends_with_main_whatever_threads_do")) {
        drop(thread::spawn(|| {
            loop {
                thread::park();
            }
        }));
    }
}

#[test]
fn a_panic_hook_learns_the_threads_name() {
    let name = &named("a_panic_hook_learns_the_threads_name");
    if common::is_child(name) {
        std::panic::set_hook(Box::new(|_| {
            eprintln!("in {:?}", thread::current().name());
        }));
        let named = thread::Builder::new().name("unlucky".into());
        assert!(named.spawn(|| panic!("thirteen")).unwrap().join().is_err());
        return;
    }
    let output = common::rerun_self(name).output().unwrap();
    common::assert_output(name, &output);
    let (_, text) = common::stdout_stderr(&output);
    assert!(text.contains("in Some(\"unlucky\")"), "{text}");
}

#[test]
fn a_sleep_goes_on_after_signals() {
    if common::in_subprocess(&named("a_sleep_goes_on_after_signals")) {
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
    }
}
