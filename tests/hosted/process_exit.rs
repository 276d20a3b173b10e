//! How a process ends from a thread of this crate, and what it prints before.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::common::{expect_crash, stdout_stderr};

fn signal(output: &Output) -> Option<i32> {
    output.status.signal()
}

#[test]
fn exit_runs_atexit_handlers_and_keeps_the_status() {
    let Some(output) = expect_crash("process_exit::exit_runs_atexit_handlers_and_keeps_the_status")
    else {
        extern "C" fn at_exit() {
            eprintln!("the handler ran");
        }
        // SAFETY: the handler only prints.
        unsafe { libc::atexit(at_exit) };
        let _other = rawthread::spawn(|| rawthread::sleep(std::time::Duration::from_secs(600)));
        let _ = rawthread::spawn(|| std::process::exit(7)).join();
        unreachable!();
    };
    assert_eq!(output.status.code(), Some(7));
    let text = stdout_stderr(&output).1;
    assert_eq!(text.matches("the handler ran").count(), 1, "{text}");
}

#[test]
fn abort_is_sigabrt() {
    let Some(output) = expect_crash("process_exit::abort_is_sigabrt") else {
        let _ = rawthread::spawn(|| std::process::abort()).join();
        unreachable!();
    };
    assert_eq!(signal(&output), Some(libc::SIGABRT));
}

#[test]
fn a_null_dereference_is_sigsegv_and_no_overflow() {
    let Some(output) = expect_crash("process_exit::a_null_dereference_is_sigsegv_and_no_overflow")
    else {
        let _ = rawthread::spawn(|| {
            // SAFETY: none: it is to die.
            unsafe { std::hint::black_box(std::ptr::null_mut::<u8>()).write_volatile(1) }
        })
        .join();
        unreachable!();
    };
    assert_eq!(signal(&output), Some(libc::SIGSEGV));
    let text = stdout_stderr(&output).1;
    assert!(!text.contains("overflow"), "{text}");
}

#[test]
fn a_sigsegv_that_is_sent_still_kills() {
    let Some(output) = expect_crash("process_exit::a_sigsegv_that_is_sent_still_kills") else {
        // std's own handler takes the first one for a guard page's and goes on.
        // SAFETY: the default action; and it sends a signal to itself.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        // SAFETY: as above.
        let _ = rawthread::spawn(|| unsafe { libc::raise(libc::SIGSEGV) }).join();
        rawthread::sleep(std::time::Duration::from_millis(50));
        unreachable!();
    };
    assert_eq!(signal(&output), Some(libc::SIGSEGV));
}

#[test]
fn a_signal_that_the_program_ignores_stays_ignored() {
    if !crate::common::in_subprocess(
        "process_exit::a_signal_that_the_program_ignores_stays_ignored",
    ) {
        return;
    }
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: ignores a signal before the first spawn.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: sends signals to itself.
    let raise = || unsafe { (libc::raise(libc::SIGSEGV), libc::raise(libc::SIGBUS)) };
    assert_eq!(rawthread::spawn(raise).join().unwrap(), (0, 0));
    assert_eq!(raise(), (0, 0));
}

#[allow(unconditional_recursion, reason = "that is the point")]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    std::hint::black_box(overflow(depth + 1) + frame[depth as usize % 64])
}

#[track_caller]
fn assert_overflow(output: &Output, name: &str) {
    let text = stdout_stderr(output).1;
    // std's text, with the tid, which is another in each run.
    let rest = text
        .split_once(&format!("\nthread {name} ("))
        .and_then(|(_, rest)| rest.split_once(')'));
    let (tid, rest) = rest.unwrap_or_else(|| panic!("{}\n{text}", output.status));
    assert!(tid.parse::<u32>().is_ok_and(|tid| tid > 0), "{text}");
    let expected = " has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
    assert!(rest.starts_with(expected), "{text}");
    assert!(
        matches!(signal(output), Some(libc::SIGABRT | libc::SIGSEGV)),
        "{}",
        output.status
    );
}

#[test]
fn an_overflow_of_a_named_thread_tells_its_name() {
    let Some(output) = expect_crash("process_exit::an_overflow_of_a_named_thread_tells_its_name")
    else {
        let thread = rawthread::Builder::new()
            .name("the deep one".into())
            .spawn(|| overflow(0));
        let _ = thread.unwrap().join();
        unreachable!();
    };
    assert_overflow(&output, "'the deep one'");
}

#[test]
fn an_overflow_of_an_unnamed_thread_is_reported() {
    let Some(output) = expect_crash("process_exit::an_overflow_of_an_unnamed_thread_is_reported")
    else {
        // A slot that a named thread used before.
        let named = rawthread::Builder::new()
            .name("stale".into())
            .spawn(|| ())
            .unwrap();
        named.join().unwrap();
        let _ = rawthread::spawn(|| overflow(0)).join();
        unreachable!();
    };
    assert_overflow(&output, "'<unnamed>'");
    assert!(!stdout_stderr(&output).1.contains("stale"));
}

#[test]
fn an_overflow_of_a_small_stack_with_a_large_guard_is_reported() {
    let Some(output) =
        expect_crash("process_exit::an_overflow_of_a_small_stack_with_a_large_guard_is_reported")
    else {
        let builder = rawthread::Builder::new()
            .name("small".into())
            .stack_size(16 * 1024);
        let _ = builder
            .guard_size(1 << 20)
            .spawn(|| overflow(0))
            .unwrap()
            .join();
        unreachable!();
    };
    assert_overflow(&output, "'small'");
}

#[test]
fn an_overflow_of_a_std_thread_is_still_stds_to_report() {
    let Some(output) =
        expect_crash("process_exit::an_overflow_of_a_std_thread_is_still_stds_to_report")
    else {
        rawthread::spawn(|| ()).join().unwrap();
        let thread = std::thread::Builder::new()
            .name("of std".into())
            .spawn(|| overflow(0));
        let _ = thread.unwrap().join();
        unreachable!();
    };
    let text = stdout_stderr(&output).1;
    assert!(
        text.contains("of std") && text.contains("overflow"),
        "{text}"
    );
    assert!(signal(&output).is_some(), "{}", output.status);
}

/// std's message, as for every thread that std did not make: the id, and no hook's frames.
#[test]
fn a_panic_message_is_stds() {
    let Some(output) = expect_crash("process_exit::a_panic_message_is_stds") else {
        let named = rawthread::Builder::new()
            .name("worker 3".into())
            .spawn(|| panic!("first"));
        assert!(named.unwrap().join().is_err());
        let std = std::thread::Builder::new()
            .name("of std".into())
            .spawn(|| panic!("second"));
        assert!(std.unwrap().join().is_err());
        std::process::exit(3);
    };
    let text = stdout_stderr(&output).1;
    assert_eq!(output.status.code(), Some(3), "{text}");
    let line = |name: &str, message: &str| {
        let head = text.lines().position(|line| {
            line.contains(&format!("thread '{name}'")) && line.contains("panicked at ")
        });
        let head = head.unwrap_or_else(|| panic!("no line for {name}:\n{text}"));
        assert_eq!(text.lines().nth(head + 1), Some(message), "{text}");
    };
    line("<unnamed>", "first");
    line("of std", "second");
    assert_eq!(text.matches("RUST_BACKTRACE").count(), 1, "{text}");
}

#[test]
fn a_hook_that_was_set_before_is_left_alone() {
    let Some(output) = expect_crash("process_exit::a_hook_that_was_set_before_is_left_alone")
    else {
        std::panic::set_hook(Box::new(|_| eprintln!("the program's own hook")));
        let named = rawthread::Builder::new()
            .name("worker".into())
            .spawn(|| panic!("said"));
        assert!(named.unwrap().join().is_err());
        assert!(std::thread::spawn(|| panic!("said")).join().is_err());
        std::process::exit(3);
    };
    assert_own_hook(&output);
}

#[test]
fn a_hook_that_is_set_after_the_first_spawn_is_left_alone() {
    let Some(output) =
        expect_crash("process_exit::a_hook_that_is_set_after_the_first_spawn_is_left_alone")
    else {
        let spawn = |name: &str| rawthread::Builder::new().name(name.into());
        spawn("first").spawn(|| ()).unwrap().join().unwrap();
        std::panic::set_hook(Box::new(|_| eprintln!("the program's own hook")));
        assert!(
            spawn("second")
                .spawn(|| panic!("said"))
                .unwrap()
                .join()
                .is_err()
        );
        assert!(std::thread::spawn(|| panic!("said")).join().is_err());
        std::process::exit(3);
    };
    assert_own_hook(&output);
}

#[track_caller]
fn assert_own_hook(output: &Output) {
    let text = stdout_stderr(output).1;
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!(text.matches("the program's own hook").count(), 2, "{text}");
    assert!(!text.contains("said"), "{text}");
}
