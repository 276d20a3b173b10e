//! What a guest of an unknown libc is promised, and what is said where no threads can be made:
//! this binary again, told to find such a host.

use std::process::Command;

use crate::common::stdout_stderr;
use crate::util::HOST;

/// Tests of things that a guest lacks.
const FULL_ONLY: [&str; 4] = [
    "setuid::",
    "pthreads::pthread_kill_",
    "pthreads::scheduling_",
    "partial_support::",
];

fn run(host: &str, arguments: &[&str]) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .env(HOST, host)
        .output()
        .unwrap()
}

#[test]
fn a_guest_can_do_the_rest() {
    if std::env::var_os(HOST).is_some() {
        return;
    }
    let skips = FULL_ONLY.into_iter().flat_map(|name| ["--skip", name]);
    let output = run("guest", &skips.collect::<Vec<_>>());
    let (out, err) = stdout_stderr(&output);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(!out.contains(" 0 passed"), "{out}");
}

#[test]
fn a_guest_says_so() {
    if std::env::var_os(HOST).is_none() {
        let output = run("guest", &["--exact", "partial_support::a_guest_says_so"]);
        assert!(output.status.success(), "{}", stdout_stderr(&output).0);
        return;
    }
    let host = rawthread::host().unwrap();
    assert_eq!(host.support(), rawthread::Support::Partial);
    assert_eq!(host.reason(), "asked for by a test");
    assert!(host.to_string().contains("Partial"), "{host}");
}

#[test]
fn unsupported_is_an_error_and_the_closure_is_dropped() {
    const NAME: &str = "partial_support::unsupported_is_an_error_and_the_closure_is_dropped";
    if std::env::var_os(HOST).is_none() {
        let output = run("unsupported", &["--exact", NAME]);
        let (out, err) = stdout_stderr(&output);
        assert!(output.status.success(), "{out}\n{err}");
        return;
    }
    let captured = std::sync::Arc::new(());
    let inside = captured.clone();
    for error in [
        rawthread::Builder::new()
            .spawn(move || drop(inside))
            .unwrap_err(),
        rawthread::host().unwrap_err(),
    ] {
        assert_eq!(error.kind(), rawthread::ErrorKind::Unsupported);
        assert_eq!(
            std::io::Error::from(error).kind(),
            std::io::ErrorKind::Unsupported
        );
    }
    assert_eq!(std::sync::Arc::strong_count(&captured), 1);
    // The process lives on, and std's threads with it.
    assert_eq!(std::thread::spawn(|| 5).join().unwrap(), 5);
}

#[test]
fn this_glibc_makes_full_citizens() {
    if std::env::var_os(HOST).is_some() {
        return;
    }
    let host = rawthread::host().unwrap();
    println!("{host}");
    // The versions whose protocol was tried by these very tests.
    if host.libc() == "glibc" && host.version() == Some("2.36") {
        assert_eq!(host.support(), rawthread::Support::Full);
    }
}
