//! A model of a thread that ends while another one calls `setuid` (glibc).

use super::explore::explore;
use crate::runtime::setxid::{SETXID, SetxidMark, clear_tid_and_check};
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Acquire, Relaxed};
use loom::sync::atomic::{AtomicI32, AtomicU32};
use loom::thread;

/// The steps of setuid for each thread: nptl/nptl_setxid.c, with the orderings that it has there.
fn mark_and_read_tid(tid: &AtomicI32, mark: &AtomicU32) -> i32 {
    let mut now = mark.load(Relaxed);
    while let Err(other) = mark.compare_exchange(now, now | SETXID, Acquire, Relaxed) {
        now = other;
    }
    tid.load(Relaxed)
}

/// If a thread that does not read its mark again were sent a signal, setuid would wait forever.
#[test]
fn a_thread_that_saw_no_mark_is_sent_no_signal() {
    explore(4, || {
        let words = Arc::new((AtomicI32::new(1000), AtomicU32::new(0)));
        let leaver = thread::spawn({
            let words = words.clone();
            move || clear_tid_and_check(&words.0, &words.1)
        });
        let signalled = mark_and_read_tid(&words.0, &words.1);
        let seen = leaver.join().unwrap();
        assert!(seen == SetxidMark::Set || signalled == 0, "{seen:?}");
    });
}
