//! Code that was written for `std::thread` compiles and behaves alike after
//! `use rawthread as thread;`: `idioms.rs`, and `names.rs` with every stable name, are one text each,
//! compiled against both.
//!
//! `process.rs` has the idioms of `std::process`, for `use rawthread::process;`.
//!
//! What std::thread promises item by item is in `tests/thread/parity`.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "calls libc")]

#[path = "../common/mod.rs"]
mod common;
mod listing;
mod self_joins;
#[path = "../common/support.rs"]
mod support;

mod with_std {
    mod idioms {
        use std::thread;
        include!("idioms.rs");
    }
    mod names {
        use std::thread;
        include!("names.rs");
    }
    mod processes {
        use std::process;
        include!("process.rs");
    }
}

mod with_rawthread {
    mod idioms {
        use rawthread as thread;
        include!("idioms.rs");
    }
    mod names {
        use rawthread as thread;
        include!("names.rs");
    }
    mod processes {
        use rawthread::process;
        include!("process.rs");
    }
}

/// With threads that libc makes, too.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}

/// The main thread's id is 1 and the first spawned is another, whichever asks first.
#[test]
fn the_main_thread_has_the_first_id() {
    const TEST: &str = "the_main_thread_has_the_first_id";
    if std::env::var_os("RAWTHREAD_TEST_FORKED").is_none() {
        let mut command = common::rerun_self(TEST);
        command.env("RAWTHREAD_TEST_FORKED", "1");
        common::assert_output(TEST, &command.output().unwrap());
        return;
    }
    // The main thread of a test program is libtest's: a forked child's is this one.
    let child = rawthread::spawn(|| rawthread::current().id())
        .join()
        .unwrap();
    // SAFETY: the child makes no call that another thread of the parent could have left locked.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let main = std::thread::Builder::new();
        drop(main);
        let id = format!("{:?}", rawthread::current().id());
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(id != "ThreadId(1)")) };
    }
    let mut status = -1;
    // SAFETY: waits for the child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_ne!(format!("{child:?}"), "ThreadId(1)");
    assert_eq!(status, 0);
}
