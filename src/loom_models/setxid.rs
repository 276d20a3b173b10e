//! Models of threads that end and begin while another one calls `setuid` (glibc).

use super::explore::explore;
use crate::primitive::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::primitive::atomic::{AtomicI32, AtomicU32};
use crate::runtime::setxid::{SETXID, SetxidMark, clear_tid_and_check, leave, wait_until_clear};
use alloc::sync::Arc;
use core::cell::RefCell;
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// The steps of setuid for each thread: nptl/nptl_setxid.c, with the orderings that it has there.
fn mark_and_read_tid(tid: &AtomicI32, mark: &AtomicU32) -> i32 {
    set_mark(mark);
    tid.load(Relaxed)
}

fn set_mark(mark: &AtomicU32) {
    let mut now = mark.load(Relaxed);
    while let Err(other) = mark.compare_exchange(now, now | SETXID, Acquire, Relaxed) {
        now = other;
    }
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

/// The kernel threads of the model by their tids.
const SPAWNER: usize = 1;
const OLD: usize = 2;
const CHILD: usize = 3;

/// A thread as libc lists it.
struct Tcb {
    tid: AtomicI32,
    mark: AtomicU32,
}

/// What the kernel keeps, under a lock as there; but for `awaited` and `finished`, which are setuid's.
#[derive(Default)]
struct Kernel {
    /// By tid: the thread exists.
    exists: [bool; 4],
    /// By tid: there is a signal for the thread.
    pending: [bool; 4],
    /// By tid: the thread has the new ids.
    new_ids: [bool; 4],
    /// Answers that setuid waits for.
    awaited: i32,
    /// setuid is over.
    finished: bool,
}

/// A process with a spawner and a slot, on which a thread ends and the next one begins.
struct Process {
    spawner: Tcb,
    slot: Tcb,
    kernel: Mutex<Kernel>,
    changed: Condvar,
}

loom::thread_local! {
    /// The kernel thread that this one of loom's is now, for signals amid pauses.
    static HERE: RefCell<Option<(Arc<Process>, usize)>> = RefCell::new(None);
}

/// What a pause of the code under test is: the thread sleeps until a handler interrupts it, or setuid is over.
/// False where the model has no signals.
pub(crate) fn sleep_until_signal() -> bool {
    HERE.with(|here| match &*here.borrow() {
        Some((process, tid)) => {
            process.pause(*tid);
            true
        }
        None => false,
    })
}

fn run_as(process: &Arc<Process>, tid: usize) {
    HERE.with(|here| *here.borrow_mut() = Some((process.clone(), tid)));
}

impl Process {
    fn new() -> Arc<Self> {
        let tcb = |tid: usize| Tcb {
            tid: AtomicI32::new(tid as i32),
            mark: AtomicU32::new(0),
        };
        Arc::new(Self {
            spawner: tcb(SPAWNER),
            slot: tcb(OLD),
            kernel: Mutex::new(Kernel {
                exists: [false, true, true, false],
                ..Kernel::default()
            }),
            changed: Condvar::new(),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Kernel)) {
        change(&mut self.kernel.lock().unwrap());
        self.changed.notify_all();
    }

    /// libc's handler of signal 33, if the kernel has one for the thread.
    fn handle(&self, tid: usize, kernel: &mut Kernel) {
        if core::mem::take(&mut kernel.pending[tid]) {
            let tcb = if tid == SPAWNER {
                &self.spawner
            } else {
                &self.slot
            };
            kernel.new_ids[tid] = true;
            tcb.mark.fetch_and(!SETXID, AcqRel);
            kernel.awaited -= 1;
            self.changed.notify_all();
        }
    }

    /// Handles signals until the condition holds.
    fn sleep_until(&self, tid: usize, condition: fn(&Kernel) -> bool) {
        let mut kernel = self.kernel.lock().unwrap();
        loop {
            self.handle(tid, &mut kernel);
            if condition(&kernel) {
                return;
            }
            kernel = self.changed.wait(kernel).unwrap();
        }
    }

    /// Sleeps once, until a signal or another change.
    fn pause(&self, tid: usize) {
        let mut kernel = self.kernel.lock().unwrap();
        if !kernel.pending[tid] && !kernel.finished {
            kernel = self.changed.wait(kernel).unwrap();
        }
        self.handle(tid, &mut kernel);
    }

    /// libc's setuid in a thread that is neither of these; `slot_first` is the order of its lists.
    fn setuid(&self, slot_first: bool) {
        let mut list = [&self.spawner, &self.slot];
        if slot_first {
            list.reverse();
        }
        for tcb in list {
            set_mark(&tcb.mark);
        }
        loop {
            let mut signalled = false;
            for tcb in list {
                if tcb.mark.load(Relaxed) & SETXID == 0 {
                    continue;
                }
                let tid = tcb.tid.load(Relaxed) as usize;
                self.change(|kernel| {
                    if kernel.exists[tid] {
                        kernel.pending[tid] = true;
                        kernel.awaited += 1;
                        signalled = true;
                    }
                });
            }
            let mut kernel = self.kernel.lock().unwrap();
            while kernel.awaited != 0 {
                kernel = self.changed.wait(kernel).unwrap();
            }
            if !signalled {
                break;
            }
        }
        for tcb in list {
            tcb.mark.fetch_and(!SETXID, Release);
        }
        self.change(|kernel| kernel.finished = true);
    }

    /// A thread that runs on, and answers signals, until setuid is over.
    fn run_on(&self, tid: usize) {
        self.sleep_until(tid, |kernel| kernel.finished);
        let has = self.kernel.lock().unwrap().new_ids[tid];
        assert!(has, "thread {tid} has the new ids");
    }

    /// The spawner: takes the slot when its thread has ended, and clones the next one.
    fn spawn(&self, wait: fn(&AtomicU32)) {
        self.sleep_until(SPAWNER, |kernel| !kernel.exists[OLD]);
        wait(&self.spawner.mark);
        // The kernel copies the ids early, and stores the tid late.
        self.change(|kernel| kernel.new_ids[CHILD] = kernel.new_ids[SPAWNER]);
        self.slot.tid.store(CHILD as i32, Relaxed);
        self.change(|kernel| kernel.exists[CHILD] = true);
        self.run_on(SPAWNER);
    }

    /// The thread that ends on the slot.
    fn end(&self) {
        leave(&self.slot.tid, &self.slot.mark);
        self.change(|kernel| {
            assert!(!kernel.pending[OLD], "no signal is left unanswered");
            kernel.exists[OLD] = false;
        });
    }
}

/// A thread ends, and the spawner makes the next one on its TCB, while setuid goes round: setuid ends, and
/// each thread that is left has the new ids.
fn a_spawn_amid_setuid(slot_first: bool, wait: fn(&AtomicU32)) {
    explore(2, move || {
        let process = Process::new();
        let spawner = thread::spawn({
            let process = process.clone();
            move || {
                run_as(&process, SPAWNER);
                process.spawn(wait);
            }
        });
        let on_slot = thread::spawn({
            let process = process.clone();
            move || {
                run_as(&process, OLD);
                process.end();
                let mut kernel = process.kernel.lock().unwrap();
                while !kernel.exists[CHILD] {
                    kernel = process.changed.wait(kernel).unwrap();
                }
                drop(kernel);
                process.run_on(CHILD);
            }
        });
        process.setuid(slot_first);
        spawner.join().unwrap();
        on_slot.join().unwrap();
    });
}

#[test]
fn a_thread_that_begins_amid_setuid_has_the_new_ids() {
    a_spawn_amid_setuid(true, wait_until_clear);
}

#[test]
fn a_thread_that_begins_amid_setuid_has_the_new_ids_in_the_other_order() {
    a_spawn_amid_setuid(false, wait_until_clear);
}

/// The broken twin: a spawner that does not wait until its own mark is clear.
#[test]
#[should_panic(expected = "thread 3 has the new ids")]
fn a_spawner_that_does_not_wait_makes_a_thread_of_old_ids() {
    a_spawn_amid_setuid(true, |_| ());
}
