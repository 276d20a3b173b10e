//! What is promised with partial support, and what an error says where no threads can be made: this
//! binary again, with a libc of an unknown version.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::common::{
    Directory, assert_output, in_subprocess, poll_until, rerun_self, stdout_stderr,
};
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
            .try_spawn(move || drop(inside))
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
    if host.support() == rawthread::Support::Full {
        let reason = host.reason();
        assert!(
            reason.starts_with("glibc of a known version, its "),
            "{reason}"
        );
        assert!(host.to_string().contains("Full"), "{host}");
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

/// With libc's own threads: what the program's destructors do after a thread is done holds up neither a
/// look at its result nor a spawn. The destructor here waits for both.
#[test]
fn a_late_destructor_may_wait_for_the_thread_that_looks_at_the_result() {
    const NAME: &str =
        "partial_support::a_late_destructor_may_wait_for_the_thread_that_looks_at_the_result";
    static KEY: AtomicU32 = AtomicU32::new(0);
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static MAY_END: AtomicBool = AtomicBool::new(false);
    extern "C" fn destructor(value: *mut libc::c_void) {
        // The third round is the one in which the thread is done; this key is younger than the crate's.
        if CALLS.fetch_add(1, Ordering::SeqCst) < 2 {
            // SAFETY: the key exists; its destructor takes any value.
            unsafe { libc::pthread_setspecific(KEY.load(Ordering::SeqCst), value) };
            return;
        }
        poll_until("the other thread goes on", || {
            MAY_END.load(Ordering::SeqCst)
        });
    }
    if support::is_asked_for() || !in_subprocess(NAME) {
        return;
    }
    rawthread::serve_by_libc().unwrap();
    rawthread::spawn(|| ()).join().unwrap();
    let mut key = 0;
    // SAFETY: makes a key.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
    assert_eq!(made, 0);
    KEY.store(key, Ordering::SeqCst);
    let mut handle = rawthread::spawn(move || {
        // SAFETY: as above.
        unsafe { libc::pthread_setspecific(key, (&raw const KEY).cast()) };
        7
    });
    let result = loop {
        match handle.try_join() {
            Ok(result) => break result,
            Err(running) => handle = running,
        }
        rawthread::yield_now();
    };
    assert_eq!(result.unwrap(), 7);
    assert_eq!(CALLS.load(Ordering::SeqCst), 3);
    // Its memory is not free yet, and is left alone.
    assert_eq!(rawthread::spawn(|| 8).join().unwrap(), 8);
    rawthread::trim();
    MAY_END.store(true, Ordering::SeqCst);
    assert_eq!(rawthread::spawn(|| 9).join().unwrap(), 9);
}

/// With libc's own threads, those that ended without a join are joined by the end of the process: under
/// ThreadSanitizer, which this test is for, they would else be reported as leaks.
#[test]
fn a_thread_that_was_detached_is_no_leak() {
    if support::is_asked_for()
        || !in_subprocess("partial_support::a_thread_that_was_detached_is_no_leak")
    {
        return;
    }
    rawthread::serve_by_libc().unwrap();
    static RAN: AtomicU32 = AtomicU32::new(0);
    drop(rawthread::spawn(|| RAN.fetch_add(1, Ordering::SeqCst)));
    poll_until("the thread runs", || RAN.load(Ordering::SeqCst) == 1);
}

/// What a thread that still runs at the process's end holds is no leak: LeakSanitizer, which this test is
/// for, looks at the stacks of threads that it saw begin.
#[test]
fn what_a_live_thread_holds_is_no_leak() {
    const NAME: &str = "partial_support::what_a_live_thread_holds_is_no_leak";
    if support::is_asked_for() || !in_subprocess(NAME) {
        return;
    }
    static HOLDS: AtomicBool = AtomicBool::new(false);
    drop(rawthread::spawn(|| {
        let held = vec![Box::new([7u8; 5000])];
        HOLDS.store(true, Ordering::SeqCst);
        loop {
            rawthread::park();
            std::hint::black_box(&held);
        }
    }));
    poll_until("the thread runs", || HOLDS.load(Ordering::SeqCst));
}
