//! setuid and its family: ids are the kernel's per thread, and libc's to change for all.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use crate::common::in_subprocess;
use crate::util::{full, on_raw, root};

/// The calling kernel thread's effective ids, without libc in between.
fn own_ids() -> (u32, u32) {
    // SAFETY: asks.
    unsafe {
        (
            libc::syscall(libc::SYS_geteuid) as u32,
            libc::syscall(libc::SYS_getegid) as u32,
        )
    }
}

fn set_egid(gid: u32) {
    // SAFETY: root may.
    assert_eq!(unsafe { libc::setegid(gid) }, 0);
}

fn set_euid(uid: u32) {
    // SAFETY: root may, and back.
    assert_eq!(unsafe { libc::seteuid(uid) }, 0);
}

type Change = fn();
/// Makes a change on some thread.
type Caller = fn(Change);

#[test]
fn reach_live_idle_and_later_threads_from_any_thread() {
    if !root()
        || !full()
        || !in_subprocess("setuid::reach_live_idle_and_later_threads_from_any_thread")
    {
        return;
    }
    let callers: [Caller; 3] = [
        |change| change(),
        |change| std::thread::spawn(change).join().unwrap(),
        |change| on_raw(change),
    ];
    let changes: [(Change, (u32, u32)); 3] = [
        (
            || {
                set_egid(1234);
                set_euid(4321)
            },
            (4321, 1234),
        ),
        (
            || {
                set_euid(0);
                set_egid(77)
            },
            (0, 77),
        ),
        (|| set_egid(0), (0, 0)),
    ];
    let gate = Arc::new(Barrier::new(9));
    let live: Vec<_> = (0..8)
        .map(|_| {
            let gate = gate.clone();
            rawthread::spawn(move || {
                // Asleep in the kernel when it comes, for each caller and change.
                (0..9)
                    .map(|_| {
                        gate.wait();
                        let ids = own_ids();
                        gate.wait();
                        ids
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut expected = Vec::new();
    for caller in callers {
        for (change, ids) in changes {
            caller(change);
            assert_eq!(own_ids(), ids);
            for _ in 0..12 {
                assert_eq!(on_raw(own_ids), ids);
            }
            let burst: Vec<_> = (0..12).map(|_| rawthread::spawn(own_ids)).collect();
            burst
                .into_iter()
                .for_each(|thread| assert_eq!(thread.join().unwrap(), ids));
            gate.wait();
            gate.wait();
            expected.push(ids);
        }
    }
    for thread in live {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

/// libc changes a thread's ids by a signal of its own: 33 in glibc, 34 in musl.
#[test]
fn reach_a_thread_that_masks_every_signal() {
    const NAME: &str = "setuid::reach_a_thread_that_masks_every_signal";
    if !root() || !full() || !in_subprocess(NAME) {
        return;
    }
    // SAFETY: ends this process where libc waits for an answer for ever.
    unsafe { libc::alarm(60) };
    let masked = || rawthread::Builder::new().signal_mask(rawthread::SignalSet::all());
    let gate = Arc::new(Barrier::new(3));
    let body = |gate: Arc<Barrier>| {
        move || {
            gate.wait();
            gate.wait();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let blocked = status
                .lines()
                .find_map(|line| line.strip_prefix("SigBlk:"))
                .unwrap();
            (
                own_ids().1,
                u64::from_str_radix(blocked.trim(), 16).unwrap(),
            )
        }
    };
    let thread = masked().spawn(body(gate.clone())).unwrap();
    let task = rawthread::warm::Builder::from(masked()).try_spawn(body(gate.clone()));
    gate.wait();
    set_egid(77);
    gate.wait();
    for told in [thread.join().unwrap(), task.unwrap().join().unwrap()] {
        let (gid, blocked) = told;
        assert_eq!(gid, 77);
        for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
            let own = (32..libc::SIGRTMIN()).contains(&signal);
            assert_eq!(blocked >> (signal - 1) & 1 == 0, own, "signal {signal}");
        }
    }
    set_egid(0);
}

/// What the last change was, so that a thread can tell whether it missed it.
struct Ids {
    /// Odd while a change is under way.
    changes: AtomicU32,
    gid: AtomicU32,
    one_at_a_time: Mutex<()>,
    missed: AtomicUsize,
    checked: AtomicUsize,
}

static IDS: Ids = Ids {
    changes: AtomicU32::new(0),
    gid: AtomicU32::new(0),
    one_at_a_time: Mutex::new(()),
    missed: AtomicUsize::new(0),
    checked: AtomicUsize::new(0),
};

impl Ids {
    fn change(&self, gid: u32) {
        let one = self.one_at_a_time.lock().unwrap();
        self.changes.fetch_add(1, Ordering::SeqCst);
        set_egid(gid);
        self.gid.store(gid, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
        drop(one);
    }

    /// Waits until the other thread has looked at the last change, or `stop`.
    fn await_check(&self, stop: &AtomicBool) {
        let before = self.checked.load(Ordering::Relaxed);
        while self.checked.load(Ordering::Relaxed) == before && !stop.load(Ordering::Relaxed) {
            rawthread::yield_now();
        }
    }

    /// Compares the calling thread's own id with the last change, unless one is under way.
    fn check(&self) {
        let before = self.changes.load(Ordering::SeqCst);
        let gid = self.gid.load(Ordering::SeqCst);
        let own = own_ids().1;
        if before.is_multiple_of(2) && self.changes.load(Ordering::SeqCst) == before {
            self.checked.fetch_add(1, Ordering::Relaxed);
            if own != gid {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Changes against thousands of starts and exits. A thread that libc signals and that ends
/// without answering hangs the caller: then the watchdog ends this process.
#[test]
fn race_against_starts_and_exits() {
    if !root() || !full() || !in_subprocess("setuid::race_against_starts_and_exits") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let spawners: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            rawthread::spawn(move || {
                let mut count = 0u32;
                while !stop.load(Ordering::Relaxed) {
                    let pair = [0; 2].map(|_| {
                        rawthread::spawn(|| {
                            IDS.check();
                            rawthread::yield_now();
                            IDS.check();
                        })
                    });
                    pair.into_iter().for_each(|thread| thread.join().unwrap());
                    drop(rawthread::spawn(|| IDS.check()));
                    IDS.check();
                    count += 3;
                }
                count
            })
        })
        .collect();
    let mut changes = 0;
    while changes < 4000 {
        changes += 1;
        if changes % 3 == 0 {
            on_raw(move || IDS.change(changes));
        } else {
            IDS.change(changes);
        }
        // Changes one upon the other leave no instant at which a thread can be judged.
        if changes % 2 == 0 {
            IDS.await_check(&stop);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let threads: u32 = spawners
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    let (checked, missed) = (
        IDS.checked.load(Ordering::Relaxed),
        IDS.missed.load(Ordering::Relaxed),
    );
    println!("{threads} threads, {changes} changes, {checked} checks, {missed} missed");
    assert_eq!(missed, 0);
    assert!(
        threads > 1000 && checked > 1000,
        "{threads} threads, {checked} checks"
    );
}

#[test]
fn race_against_cold_starts() {
    if !root() || !full() || !in_subprocess("setuid::race_against_cold_starts") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let changer = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut gid = 0;
            while !stop.load(Ordering::Relaxed) {
                gid += 1;
                IDS.change(gid);
                IDS.await_check(&stop);
            }
            gid
        })
    };
    // Each wave needs more TCBs than the one before: donors start and exit.
    for wave in 1..=20 {
        let threads: Vec<_> = (0..wave * 10)
            .map(|_| {
                rawthread::spawn(|| {
                    IDS.check();
                    rawthread::park_timeout(std::time::Duration::from_millis(3));
                    IDS.check();
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(changer.join().unwrap() > 10);
    assert_eq!(IDS.missed.load(Ordering::Relaxed), 0);
    assert!(IDS.checked.load(Ordering::Relaxed) > 100);
}
