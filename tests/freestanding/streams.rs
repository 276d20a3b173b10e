//! The standard streams of a program without libc.

use std::process::Stdio;

use super::{FIXED, PIE, directory, program, text, under};

#[test]
fn a_pipe_without_a_reader_is_an_error_and_not_the_end() {
    for build in [FIXED, PIE] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = program(build, "streams");
        command.arg("pipe").stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().expect("runs").wait_with_output();
        let output = output.expect("ends");
        let (_, errors) = text(&output);
        assert_eq!(output.status.code(), Some(0), "{} {errors}", output.status);
        assert_eq!(errors, format!("errno Some({})\n", libc::EPIPE));
    }
}

#[test]
fn a_closed_stream_gives_its_number_to_no_other_descriptor() {
    for build in [FIXED, PIE] {
        for closed in ["<&- >&- 2>&-", "<&- 2>&-", "<&-", ">&-", "2>&-"] {
            let path = directory(build).join("streams");
            let mut command = under(&format!("exec {closed};"), &path);
            let output = command.arg("closed").output().expect("runs");
            let (printed, errors) = text(&output);
            match output.status.code() {
                Some(7) => {}
                Some(8) => println!("SKIP: no pidfds here"),
                other => panic!("{closed}: {other:?} {printed}{errors}"),
            }
        }
    }
}
