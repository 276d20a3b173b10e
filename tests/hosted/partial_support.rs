//! What is promised with partial support, and what an error says where no threads can be made: this
//! binary again, with a libc of an unknown version.

use crate::common::{Directory, assert_output, in_subprocess, rerun_self, stdout_stderr};
use crate::{filter, unknown_libc};

/// Tests of things that need full support.
const FULL_ONLY: [&str; 4] = [
    "setuid::",
    "pthreads::pthread_kill_",
    "pthreads::scheduling_",
    "partial_support::",
];

#[test]
fn partial_support_is_enough_for_the_rest() {
    if unknown_libc::is_preloaded() {
        return;
    }
    let dir = Directory::new("unknown_libc");
    let Some(library) = unknown_libc::build(&dir) else {
        return;
    };
    let skips = FULL_ONLY.into_iter().flat_map(|name| ["--skip", name]);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(skips)
        .env(unknown_libc::PRELOAD, &library)
        .output()
        .unwrap();
    let (out, err) = stdout_stderr(&output);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(!out.contains(" 0 passed"), "{out}");
}

#[test]
fn the_host_tells_partial_support_and_why() {
    const NAME: &str = "partial_support::the_host_tells_partial_support_and_why";
    if !unknown_libc::is_preloaded() {
        let dir = Directory::new("unknown_libc_reason");
        let Some(library) = unknown_libc::build(&dir) else {
            return;
        };
        let output = rerun_self(NAME)
            .env(unknown_libc::PRELOAD, &library)
            .output()
            .unwrap();
        assert_output(NAME, &output);
        return;
    }
    let host = rawthread::host().unwrap();
    assert_eq!(host.version(), Some(unknown_libc::VERSION));
    assert_eq!(host.support(), rawthread::Support::Partial);
    assert_eq!(
        host.reason(),
        "the exit protocol of this glibc version is not known"
    );
    assert!(host.to_string().contains("Partial"), "{host}");
}

#[test]
fn unsupported_is_an_error_and_the_closure_is_dropped() {
    const NAME: &str = "partial_support::unsupported_is_an_error_and_the_closure_is_dropped";
    if unknown_libc::is_preloaded() || !in_subprocess(NAME) {
        return;
    }
    // Without it no thread control block can be looked at.
    if !filter::refuse(libc::SYS_gettid, None, libc::EPERM) {
        println!("SKIP: no filters");
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
fn a_tried_glibc_gives_full_support() {
    if unknown_libc::is_preloaded() {
        return;
    }
    let host = rawthread::host().unwrap();
    println!("{host}");
    // The versions whose protocol was tried by these very tests.
    if host.libc() == "glibc" && host.version() == Some("2.36") {
        assert_eq!(host.support(), rawthread::Support::Full);
    }
}
