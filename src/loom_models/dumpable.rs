//! Models of `process::dumpable`: the process's mark while children change ids in its memory.

use super::explore::{RaceCell, explore};
use crate::primitive::atomic::Ordering::Relaxed;
use crate::primitive::atomic::{AtomicU32, AtomicU64};
use crate::process::dumpable::{MARK_SHIFT, OWNER_SHIFT, count_down, count_up};
use loom::sync::Arc;
use loom::thread;

/// The memory's number, and one of another memory.
const OWN: u64 = 5 << OWNER_SHIFT;
const OTHER: u64 = 6 << OWNER_SHIFT;
const DUMPABLE: u64 = 1 << MARK_SHIFT;

struct Process {
    word: AtomicU64,
    /// The kernel's mark: 1, or 0 once a child has changed its ids. No data of the protocol's.
    mark: AtomicU64,
    /// What is read or put back under `BUSY`.
    busy: RaceCell,
    /// Children that may have changed their ids.
    changed: AtomicU32,
}

impl Process {
    fn new(word: u64) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(word),
            mark: AtomicU64::new(1),
            busy: RaceCell::new(0),
            changed: AtomicU32::new(0),
        })
    }

    /// A child from the spawner's first step to its end.
    fn child(&self) {
        count_up(&self.word, OWN, || {
            self.busy.add(1);
            self.mark.load(Relaxed) << MARK_SHIFT
        });
        self.changed.fetch_add(1, Relaxed);
        self.mark.store(0, Relaxed);
        self.changed.fetch_sub(1, Relaxed);
        count_down(&self.word, OWN, |mark| {
            self.busy.add(1);
            assert_eq!(
                self.changed.load(Relaxed),
                0,
                "no child of other ids is left"
            );
            assert_eq!(mark, DUMPABLE, "the mark before the first child");
            self.mark.store(mark >> MARK_SHIFT, Relaxed);
        });
    }
}

/// Children of two threads: the mark is back when both have ended, and not before.
#[test]
fn the_last_child_puts_the_mark_back() {
    explore(3, || {
        let process = Process::new(0);
        let other = thread::spawn({
            let process = process.clone();
            move || process.child()
        });
        process.child();
        other.join().unwrap();
        assert_eq!(process.mark.load(Relaxed), 1, "dumpable again");
        assert_eq!(process.word.load(Relaxed), 0);
    });
}

/// A fork copied the word while its parent counted: neither the count nor the mark is the copy's.
#[test]
fn a_forked_process_takes_over_neither_the_count_nor_the_mark() {
    explore(3, || {
        let process = Process::new(OTHER | 2);
        let other = thread::spawn({
            let process = process.clone();
            move || process.child()
        });
        process.child();
        other.join().unwrap();
        assert_eq!(process.mark.load(Relaxed), 1, "dumpable again");
        assert_eq!(process.word.load(Relaxed), 0);
    });
}
