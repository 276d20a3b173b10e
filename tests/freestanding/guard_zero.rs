//! Safe code cannot leave its stack unnoticed, whatever guard it asked for.

use std::os::unix::process::ExitStatusExt;

use super::{FIXED, PIE, program, text};

#[test]
fn a_thread_that_asked_for_no_guard_dies_on_one() {
    for build in [FIXED, PIE] {
        for way in ["recursion", "frame"] {
            let output = program(build, "guard_zero").arg(way).output();
            let output = output.expect("runs");
            let (printed, errors) = text(&output);
            let signal = output.status.signal();
            assert_eq!(signal, Some(libc::SIGSEGV), "{way}: {printed}{errors}");
            let guard = printed.trim().strip_prefix("guard ");
            let guard: usize = guard.expect("one line").parse().expect("a number");
            assert!(guard >= 4096, "{way}: {guard}");
        }
    }
}
