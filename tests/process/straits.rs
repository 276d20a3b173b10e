//! Where something has run out, or somebody else has a hand in it.

use std::fs::File;

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Command};

use crate::util;

fn limit_open_files(soft: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: soft,
    };
    // SAFETY: reads one rlimit; this process is the test's own.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// A pidfd is a descriptor. Who did not ask for one must not fail for want of it.
#[test]
fn a_full_descriptor_table_hinders_nobody_who_asked_for_none() {
    if !util::alone("straits::a_full_descriptor_table_hinders_nobody_who_asked_for_none") {
        return;
    }
    limit_open_files(64);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(Command::new("/bin/true").status().unwrap().success());
    for flags in [CloneFlags::empty(), CloneFlags::VM] {
        // SAFETY: the child only returns.
        let mut child = unsafe { Builder::new().flags(flags).spawn(|| 7) }.unwrap();
        assert_eq!(child.raw_pidfd(), None, "{flags:?}");
        assert_eq!(child.wait().unwrap().code(), Some(7), "{flags:?}");
    }
    drop(Command::new("/bin/sleep").arg("0.01").spawn().unwrap());
    let error = Command::new("/bin/true").pidfd(true).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    // SAFETY: the child would only return.
    let error = unsafe { Builder::new().pidfd(true).spawn(|| 0) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
}
