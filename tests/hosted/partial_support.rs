//! What is promised with partial support, and what an error says where no threads can be made: this
//! binary again, with a libc of an unknown version.

use crate::common::{Directory, assert_output, in_subprocess, rerun_self, stdout_stderr};
use crate::{filter, support, unknown_libc};

/// Tests of things that need full support.
const FULL_ONLY: [&str; 4] = [
    "setuid::",
    "pthreads::pthread_kill_",
    "pthreads::scheduling_",
    "partial_support::",
];

#[test]
fn partial_support_is_enough_for_the_rest() {
    if support::is_asked_for() {
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
        .env(support::VARIABLE, "partial")
        .output()
        .unwrap();
    let (out, err) = stdout_stderr(&output);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(!out.contains(" 0 passed"), "{out}");
}

#[test]
fn the_host_tells_partial_support_and_why() {
    if support::is_asked_for() && !unknown_libc::is_preloaded() {
        return;
    }
    const NAME: &str = "partial_support::the_host_tells_partial_support_and_why";
    if !unknown_libc::is_preloaded() {
        let dir = Directory::new("unknown_libc_reason");
        let Some(library) = unknown_libc::build(&dir) else {
            return;
        };
        for asked in ["partial", "nothing"] {
            let output = rerun_self(NAME)
                .env(unknown_libc::PRELOAD, &library)
                .env(support::VARIABLE, asked)
                .output()
                .unwrap();
            assert_output(NAME, &output);
        }
        return;
    }
    let host = rawthread::host().unwrap();
    assert_eq!(host.version(), Some(unknown_libc::VERSION));
    let asked = std::env::var(support::VARIABLE).unwrap();
    let expected = match asked.as_str() {
        "partial" => rawthread::Support::Partial,
        _ => rawthread::Support::Libc,
    };
    assert_eq!(host.support(), expected);
    assert_eq!(rawthread::spawn(|| 5).join().unwrap(), 5);
    // It is decided now.
    let error = rawthread::serve_by_libc().err();
    assert_eq!(
        error.map(|error| error.kind()),
        (expected == rawthread::Support::Partial).then_some(rawthread::ErrorKind::InvalidInput)
    );
    assert_eq!(
        host.reason(),
        "the exit protocol of this glibc version is not known"
    );
    assert!(
        host.to_string().contains(&format!("{expected:?}")),
        "{host}"
    );
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
    if unknown_libc::is_preloaded() || support::is_asked_for() {
        return;
    }
    let host = rawthread::host().unwrap();
    println!("{host}");
    // The versions whose protocol was tried by these very tests.
    if host.libc() == "glibc" && host.version() == Some("2.36") {
        assert_eq!(host.support(), rawthread::Support::Full);
    }
}

/// Each thread is libc's own, and all of the suite holds for it, setuid included.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}

#[test]
fn libc_makes_the_threads_of_a_program_that_asks_for_it() {
    const NAME: &str = "partial_support::libc_makes_the_threads_of_a_program_that_asks_for_it";
    if support::is_asked_for() || !in_subprocess(NAME) {
        return;
    }
    rawthread::serve_by_libc().unwrap();
    let host = rawthread::host().unwrap();
    assert_eq!(host.support(), rawthread::Support::Libc);
    assert_eq!(
        host.reason(),
        "the program asked for threads of libc's own making"
    );
    rawthread::serve_by_libc().unwrap();
    // Its start routine is libc's: the thread's first frame lies below the control block, both on the
    // slot, and the handle is the address of that block in glibc.
    let (own, local) = rawthread::spawn(|| {
        let local = 0u8;
        // SAFETY: asks.
        let own = unsafe { libc::pthread_self() } as usize;
        (own, (&raw const local).addr())
    })
    .join()
    .unwrap();
    if host.libc() == "glibc" {
        assert!(local < own && own - local < 1 << 16, "{local:#x} {own:#x}");
    }
}
