//! A suite under another support than the best: this binary again, told by an environment variable, which
//! asks for it before any test makes a thread.
#![allow(dead_code, reason = "each suite takes what it needs")]
#![allow(unsafe_code, reason = "runs before main")]

use std::process::Command;

/// The variable; `libc` or `partial`.
pub(crate) const VARIABLE: &str = "RAWTHREAD_TEST_SUPPORT";

/// Run by the loader, before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static ASK: extern "C" fn() = {
    extern "C" fn ask() {
        match std::env::var(VARIABLE).as_deref() {
            Ok("libc") => rawthread::serve_by_libc().unwrap(),
            // SAFETY: these very tests show what a glibc does with such threads; those of setuid and
            // pthread_kill are left out.
            Ok("partial") => unsafe { rawthread::allow_partial_support().unwrap() },
            _ => {}
        }
    }
    ask
};

/// Whether this process was started to ask for another support.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Whether libc makes the threads of this process; says so for a test that this rules out.
pub(crate) fn by_libc() -> bool {
    let host = rawthread::host().unwrap();
    let by_libc = host.support() == rawthread::Support::Libc;
    if by_libc {
        println!("SKIP: {host}");
    }
    by_libc
}

/// Runs this suite again with libc's own threads, but for the tests whose names contain one of `skips`.
pub(crate) fn rerun_by_libc(skips: &[&str]) {
    // musl makes the threads anyway.
    if is_asked_for() || cfg!(target_env = "musl") {
        return;
    }
    let skips = skips.iter().flat_map(|name| ["--skip", name]);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(skips)
        .env(VARIABLE, "libc")
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(!out.contains(" 0 passed"), "{out}");
}
