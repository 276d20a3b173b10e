//! A thread that asked for no guard overflows its stack as loudly as any other.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::common::{expect_crash, stdout_stderr};

#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(recurse(depth + 1) + frame[depth as usize % 64])
}

/// Larger than the smallest stack and its TCB.
#[inline(never)]
fn large_frame() -> u8 {
    let frame = [black_box(1u8); 1 << 20];
    black_box(&frame)[17]
}

fn spawn_without_guard<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) {
    let builder = rawthread::Builder::new().name("unguarded".into());
    let thread = builder.stack_size(0).guard_size(0).spawn(f).unwrap();
    assert!(thread.stack().guard >= 4096);
    let _ = thread.join();
}

#[track_caller]
fn assert_reported(output: &Output) {
    let (printed, errors) = stdout_stderr(output);
    let signal = output.status.signal();
    assert!(
        matches!(signal, Some(libc::SIGABRT | libc::SIGSEGV)),
        "{}\n{printed}\n{errors}",
        output.status
    );
    let reported = errors.contains("'unguarded'") && errors.contains("overflow");
    assert!(reported, "{}\n{errors}", output.status);
}

#[test]
fn a_recursion_without_a_guard_is_reported() {
    let Some(output) = expect_crash("guard_zero::a_recursion_without_a_guard_is_reported") else {
        spawn_without_guard(|| recurse(0));
        unreachable!();
    };
    assert_reported(&output);
}

#[test]
fn a_large_frame_without_a_guard_is_reported() {
    let Some(output) = expect_crash("guard_zero::a_large_frame_without_a_guard_is_reported") else {
        spawn_without_guard(large_frame);
        unreachable!();
    };
    assert_reported(&output);
}

/// The slot that a thread without a guard leaves serves the next one.
#[test]
fn no_guard_and_the_smallest_guard_are_the_same() {
    let guard = |bytes: usize| {
        let builder = rawthread::Builder::new().stack_size(300 << 10);
        let thread = builder.guard_size(bytes).spawn(|| ()).unwrap();
        let guard = thread.stack().guard;
        thread.join().unwrap();
        guard
    };
    assert_eq!(guard(0), guard(1));
}
