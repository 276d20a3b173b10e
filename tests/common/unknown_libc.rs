//! A glibc that tells a version that was not tried: a preloaded library answers for it. Then nothing private
//! of libc is written, and support is partial.
#![allow(dead_code, reason = "each suite takes what it needs")]

use std::path::PathBuf;
use std::process::Command;

use super::common::{Directory, stdout_stderr};

/// The environment variable that has the dynamic loader load a library first (ld.so(8)).
pub(crate) const PRELOAD: &str = "LD_PRELOAD";

/// The version that the library tells.
pub(crate) const VERSION: &str = "2.99";

const NAME: &str = "librawthread_unknown_libc.so";

/// Builds the library; says why where that cannot be.
pub(crate) fn build(dir: &Directory) -> Option<PathBuf> {
    if !cfg!(target_env = "gnu") || cfg!(target_feature = "crt-static") {
        println!("SKIP: only a dynamic glibc program can be told another version");
        return None;
    }
    let source = dir.path().join("unknown_libc.c");
    let library = dir.path().join(NAME);
    let text = format!("const char *gnu_get_libc_version(void) {{ return \"{VERSION}\"; }}\n");
    std::fs::write(&source, text).unwrap();
    let built = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output();
    match built {
        Ok(output) => assert!(output.status.success(), "{}", stdout_stderr(&output).1),
        Err(error) => {
            println!("SKIP: gcc: {error}");
            return None;
        }
    }
    Some(library)
}

/// Whether this process was started with the library.
pub(crate) fn is_preloaded() -> bool {
    std::env::var(PRELOAD).is_ok_and(|library| library.contains(NAME))
}
