//! The tour, run as a user runs it.
#![allow(
    unsafe_code,
    reason = "takes rights away from the lab before it starts"
)]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output};

use serde_json::Value;

fn lab() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lab"))
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn tour_as_json() -> Vec<Value> {
    let output = lab().args(["tour", "--json"]).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    let rows: Value = serde_json::from_str(text(&output)).expect("JSON");
    rows.as_array().expect("a list").clone()
}

fn cell<'a>(row: &'a Value, aspect: &str) -> &'a Value {
    row["cells"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|cell| cell["aspect"] == aspect)
        .unwrap_or_else(|| panic!("{aspect} is missing in {row}"))
}

#[test]
fn every_way_is_made_and_is_as_predicted() {
    let rows = tour_as_json();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let expected = [
        "fork",
        "vfork",
        "posix_spawn",
        "clone",
        "clone-vm",
        "clone3",
        "nptl",
        "go",
        "go-exec",
        "linuxthreads",
        "container",
        "rawthread",
    ];
    assert_eq!(ids, expected);
    for row in &rows {
        assert_eq!(row["as_predicted"], true, "{row}");
        if row["id"] == "container" && !row["not_made"].is_null() {
            println!("SKIP: {}", row["not_made"]);
            continue;
        }
        assert!(row["not_made"].is_null(), "{row}");
        for aspect in ["memory", "fds", "cwd", "handlers", "group", "maker"] {
            let cell = cell(row, aspect);
            assert!(!cell["observed"].is_null(), "{aspect} in {row}");
            assert_eq!(cell["observed"], cell["predicted"], "{aspect} in {row}");
        }
    }
}

#[test]
fn the_rows_are_what_the_field_knows_them_to_be() {
    let rows = tour_as_json();
    let seen = |id: &str, aspect: &str| {
        let row = rows.iter().find(|row| row["id"] == id).expect(id);
        cell(row, aspect)["observed"]
            .as_str()
            .expect(aspect)
            .to_owned()
    };
    for thread in ["nptl", "go", "rawthread"] {
        assert_eq!(seen(thread, "group"), "joined");
        assert_eq!(seen(thread, "memory"), "shared");
        assert_eq!(seen(thread, "wait"), "none");
    }
    assert_eq!(seen("go", "tls"), "maker's");
    assert_eq!(seen("nptl", "tls"), "given");
    for sleeper in ["vfork", "posix_spawn", "go-exec"] {
        assert_eq!(seen(sleeper, "maker"), "sleeps");
    }
    assert_eq!(seen("fork", "maker"), "runs on");
    assert_eq!(seen("posix_spawn", "end"), "execve");
    assert_eq!(seen("fork", "end"), "exit");
    assert_eq!(seen("clone3", "handlers"), "reset");
    // A process to the kernel, a thread to its users.
    assert_eq!(seen("linuxthreads", "group"), "own");
    assert_eq!(seen("linuxthreads", "handlers"), "shared");
    assert_eq!(seen("linuxthreads", "wait"), "__WCLONE");
    assert_eq!(seen("linuxthreads", "exit-signal"), "SIGUSR2");
}

#[test]
fn the_classic_experiment_shows_both_buffers() {
    let rows = tour_as_json();
    let buffer = |id: &str| {
        let row = rows.iter().find(|row| row["id"] == id).expect(id);
        row["buffer"].as_str().expect("a text").to_owned()
    };
    assert_eq!(buffer("clone"), "hello from parent");
    assert_eq!(buffer("clone-vm"), "hello from child");

    let output = lab().output().expect("it runs");
    assert!(output.status.success());
    let lines = || text(&output).lines();
    let line = |start: &str| {
        lines()
            .find(|line| line.trim_start().starts_with(start) && line.contains("reads"))
            .expect(start)
    };
    assert!(line("clone  ").ends_with("\"hello from parent\""));
    assert!(line("clone vm").ends_with("\"hello from child\""));
}

#[test]
fn the_table_is_plain_and_fits_eighty_columns() {
    let output = lab().arg("tour").output().expect("it runs");
    for line in text(&output).lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\x1b'), "colours in a pipe: {line:?}");
        assert_eq!(line.trim_end(), line, "blanks at the end: {line:?}");
    }
}

#[test]
fn a_wrong_prediction_is_noticed() {
    for aspect in [
        "memory", "fds", "cwd", "handlers", "group", "undo", "wait", "maker",
    ] {
        let output = lab()
            .arg("tour")
            .env("RAWTHREAD_LAB_FALSIFY", aspect)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{aspect}: {}", text(&output));
        assert!(text(&output).contains("differ from their prediction"));
        assert!(text(&output).contains('✗'));
    }
}

/// A user namespace of its own, in which no further one may be made.
fn without_the_right_to_namespaces() -> std::io::Result<()> {
    // SAFETY: async-signal-safe calls on constant paths and texts, in a child before its exec.
    unsafe {
        if libc::unshare(libc::CLONE_NEWUSER) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let path = c"/proc/sys/user/max_user_namespaces";
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 || libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
fn a_missing_right_is_told_and_fails_nothing_else() {
    let mut command = lab();
    // SAFETY: see the function.
    unsafe { command.pre_exec(without_the_right_to_namespaces) };
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return println!("SKIP: no user namespace to take the right away in: {error}");
        }
    };
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("needs a right or a feature of the kernel"));
    assert!(
        text(&output)
            .contains("Not made for want of a right or a feature of the kernel: a container.")
    );
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &["tuor"][..],
        &["tour", "--jason"],
        &["tour", "now"],
        &["help", "nothing"],
    ] {
        let output = lab().args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        let wrong = arguments.last().unwrap();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn help_names_every_command_and_each_has_a_page() {
    let output = lab().arg("help").output().expect("it runs");
    let overview = text(&output);
    let commands: Vec<_> = overview
        .lines()
        .filter_map(|line| line.strip_prefix("  lab ")?.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    assert!(commands.contains(&"tour"));
    for command in commands {
        let page = lab().args([command, "--help"]).output().expect("it runs");
        assert!(page.status.success());
        assert!(text(&page).starts_with(&format!("lab {command}")));
        let same = lab().args(["help", command]).output().expect("it runs");
        assert_eq!(same.stdout, page.stdout);
    }
}

/// An error is one line and not a panic, whichever command meets it.
#[test]
fn a_full_device_is_an_error_and_a_closed_pipe_is_none() {
    for arguments in [
        &["tour"][..],
        &["tour", "--json"],
        &["explain", "fork"],
        &["probe", "fork"],
        &["ask", "5"],
        &["help"],
        &["--version"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = lab().args(arguments).stdout(full.unwrap()).output();
        let output = output.expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(
            error.starts_with("lab: standard output: No space left on device")
                && error.lines().count() == 1,
            "{arguments:?}: {error}"
        );

        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = lab().args(arguments).stdout(writer).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.signal(), Some(libc::SIGPIPE), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_trace_goes_on_where_its_output_cannot_be_read() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = lab()
        .args(["trace", "--", "/bin/sh", "-c", "/bin/true; exit 7"])
        .stderr(full.unwrap())
        .output()
        .expect("it runs");
    match output.status.code() {
        Some(1) => println!("SKIP: the lab may not trace here"),
        code => assert_eq!(code, Some(7)),
    }
}
