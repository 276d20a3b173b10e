//! What `examples/daemon.rs` promises.

use std::net::TcpListener;

use rawthread::process::{Command, Namespaces, Stdio};

use crate::common::Directory;
use crate::util::{sh, user_namespaces};

#[allow(dead_code, reason = "the example has a main of its own")]
#[path = "../../examples/daemon.rs"]
mod example;

#[test]
fn a_service_finds_its_socket() {
    let directory = Directory::new("daemon");
    let said = directory.path().join("said");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = "test $LISTEN_PID = $$ && test $LISTEN_FDS = 1 || exit 7; exec >\"$0\"; \
        readlink /proc/$$/fd/3; cut -d' ' -f1,6,7 /proc/$$/stat; pwd; umask; \
        grep SigBlk /proc/self/status; ls /proc/$$/fd; readlink /proc/$$/fd/0 /proc/$$/fd/2";
    let mut command = example::daemon("sh", socket);
    command.args(["-c", script]).arg(&said);
    // A second service finds the same.
    for _ in 0..2 {
        let mut service = command.spawn().unwrap();
        assert_eq!(service.wait().unwrap().code(), Some(0));
        let text = std::fs::read_to_string(&said).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("socket:["), "{text}");
        let pid = service.pid();
        assert_eq!(lines[1], format!("{pid} {pid} 0"), "session and terminal");
        assert_eq!(lines[2..5], ["/", "0022", "SigBlk:\t0000000000000000"]);
        // No other descriptor than its own.
        assert_eq!(lines[5..], ["0", "1", "2", "3", "/dev/null", "/dev/null"]);
    }
}

/// The last word on a name counts, as for other variables; the caller's own variable does not come along.
#[test]
fn a_variable_has_the_childs_pid() {
    let value = |configure: &dyn Fn(&mut Command)| {
        sh("echo $$ ${P-none} $(env | grep -c ^P=)", |command| {
            configure(command);
        })
    };
    let own = value(&|command| {
        command.env("P", "1").env_pid("P");
    });
    let words: Vec<_> = own.split(' ').collect();
    assert_eq!((words[0], words[2]), (words[1], "1"));
    for (configure, expected) in [
        (
            (|command| command.env_pid("P").env("P", "x")) as fn(&mut Command) -> &mut Command,
            " x 1",
        ),
        (|command| command.env_pid("P").env_remove("P"), " none 0"),
        (|command| command.env_pid("P").env_pid("Q"), " none 0"),
    ] {
        let text = value(&|command| {
            configure(command);
        });
        assert!(text.ends_with(expected), "{text}");
    }
    let cleared = Command::new("/usr/bin/env")
        .env_clear()
        .env_pid("P")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = cleared.pid();
    let output = cleared.wait_with_output().unwrap();
    assert_eq!(output.stdout, format!("P={pid}\n").as_bytes());
    assert!(Command::new("true").env_pid("P\0").status().is_err());
    if user_namespaces() {
        let inside = value(&|command| {
            command
                .namespaces(Namespaces::USER | Namespaces::PID)
                .env_pid("P");
        });
        assert_eq!(inside, "1 1 1");
    }
}

/// By `exec`, too, where the pid is that of the process.
#[test]
fn a_process_that_becomes_a_program_finds_its_pid() {
    let test = "daemon::a_process_that_becomes_a_program_finds_its_pid";
    if !crate::common::is_child(test) {
        let output = crate::common::rerun_self(test).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("same"), "{text}");
        return;
    }
    let error = Command::new("sh")
        .args(["-c", "test $P = $$ && echo same"])
        .env_pid("P")
        .exec();
    panic!("{error}");
}
