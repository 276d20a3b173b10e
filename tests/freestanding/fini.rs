//! `.preinit_array`, `.init_array` and `.fini_array` run as C runs them.

use super::{FIXED, PIE, program, text};

#[track_caller]
fn ends(case: &str, status: i32, after_main: &str) {
    for build in [FIXED, PIE] {
        let mut command = program(build, "fini");
        let output = command.arg(case).output().expect("runs");
        let (printed, errors) = text(&output);
        let ended = output.status;
        assert_eq!(
            ended.code(),
            Some(status),
            "{case}: {ended} {printed}{errors}"
        );
        assert_eq!(
            printed,
            format!("preinit\ninit\nmain\n{after_main}"),
            "{case}"
        );
    }
}

#[test]
fn main_returns() {
    ends("return", 0, "local\nfini 1\nfini 0\n");
}

#[test]
fn exit_runs_them_on_whatever_thread_and_drops_nothing() {
    ends("exit", 3, "fini 1\nfini 0\n");
    ends("thread", 4, "fini 1\nfini 0\n");
}

#[test]
fn an_exit_in_one_of_them_is_the_end() {
    ends("again", 8, "local\nfini 1\n");
}

#[test]
fn of_two_threads_that_exit_one_runs_them() {
    ends("two", 5, "fini 1\nfini 0\n");
}

#[test]
fn a_forked_child_has_its_own_end() {
    ends(
        "forked",
        0,
        "local\nfini 1\nfini 0\nparent\nlocal\nfini 1\nfini 0\n",
    );
    ends("fork", 0, "local\nfini 1\nchild Some(9)\nfini 0\n");
}

#[test]
fn a_child_in_the_same_memory_leaves_them_to_the_parent() {
    ends("vm", 0, "parent\nlocal\nfini 1\nfini 0\n");
}

#[test]
fn a_panic_runs_none() {
    ends("panic", 101, "");
}
