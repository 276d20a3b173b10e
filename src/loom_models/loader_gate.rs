//! Models of `runtime::loader_gate`: a fork beside a reader of the loader's modules.

use super::explore::explore;
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::runtime::loader_gate::LoaderGate;
use loom::sync::Arc;
use loom::thread;

struct Process {
    gate: LoaderGate,
    /// Readers inside, and 16 for each fork: no data of the protocol's.
    inside: AtomicU32,
}

impl Process {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: LoaderGate::new(),
            inside: AtomicU32::new(0),
        })
    }

    fn read(&self) {
        assert_eq!(self.inside.fetch_add(1, Relaxed) & !15, 0, "amid a fork");
        self.inside.fetch_sub(1, Relaxed);
    }

    fn fork(&self) {
        self.gate.begin_fork(None);
        assert_eq!(self.inside.fetch_add(16, Relaxed) & 15, 0, "amid a walk");
        self.inside.fetch_sub(16, Relaxed);
        self.gate.end_fork();
    }
}

/// A reader and a fork wait for each other, without a limit: neither wait is endless.
#[test]
fn a_fork_and_a_reader_keep_apart_and_both_go_on() {
    explore(3, || {
        let process = Process::new();
        let fork = thread::spawn({
            let process = process.clone();
            move || process.fork()
        });
        process.gate.enter(None);
        process.read();
        process.gate.leave();
        fork.join().unwrap();
    });
}

/// A reader that does not wait, and another that does, beside a fork.
#[test]
fn a_reader_that_may_not_wait_goes_away() {
    explore(2, || {
        let process = Process::new();
        let fork = thread::spawn({
            let process = process.clone();
            move || process.fork()
        });
        let reader = thread::spawn({
            let process = process.clone();
            move || {
                process.gate.enter(None);
                process.read();
                process.gate.leave();
            }
        });
        if process.gate.try_enter() {
            process.read();
            process.gate.leave();
        }
        fork.join().unwrap();
        reader.join().unwrap();
    });
}

/// The broken twin: the reader looks first, and announces itself then.
#[test]
#[should_panic]
fn a_reader_that_looks_before_it_is_announced_meets_a_fork() {
    explore(3, || {
        let words = Arc::new([0; 3].map(AtomicU32::new));
        let fork = thread::spawn({
            let words = words.clone();
            move || {
                let [readers, forking, inside] = &*words;
                forking.fetch_add(1, AcqRel);
                if readers.fetch_add(0, SeqCst) == 0 {
                    assert_eq!(inside.fetch_add(16, Relaxed) & 15, 0);
                    inside.fetch_sub(16, Relaxed);
                }
            }
        });
        let [readers, forking, inside] = &*words;
        if forking.fetch_add(0, SeqCst) == 0 {
            readers.fetch_add(1, AcqRel);
            assert_eq!(inside.fetch_add(1, Relaxed) & !15, 0);
            inside.fetch_sub(1, Relaxed);
        }
        fork.join().unwrap();
    });
}
