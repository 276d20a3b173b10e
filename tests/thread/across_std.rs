//! Parking by one crate, waking by the other: the token is the same.

#![allow(unsafe_code, reason = "makes a pthread and a pthread key")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::{in_forked_child, in_subprocess, poll_until, watchdog};

/// What wakes a thread, by either crate.
#[derive(Clone)]
pub(super) enum Handle {
    Ours(rawthread::Thread),
    Std(std::thread::Thread),
}

impl Handle {
    pub(super) fn unpark(&self) {
        match self {
            Self::Ours(thread) => thread.unpark(),
            Self::Std(thread) => thread.unpark(),
        }
    }
}

/// The crate whose `park` a thread calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Ours,
    Std,
}

pub(super) const BOTH: [By; 2] = [By::Ours, By::Std];

impl By {
    pub(super) fn park(self) {
        match self {
            Self::Ours => rawthread::park(),
            Self::Std => std::thread::park(),
        }
    }

    fn park_timeout(self, time: Duration) {
        match self {
            Self::Ours => rawthread::park_timeout(time),
            Self::Std => std::thread::park_timeout(time),
        }
    }

    pub(super) fn current(self) -> Handle {
        match self {
            Self::Ours => Handle::Ours(rawthread::current()),
            Self::Std => Handle::Std(std::thread::current()),
        }
    }
}

/// Sleeps until the kernel says that the thread does.
pub(super) fn wait_until_asleep(tid: i32) {
    poll_until("the thread sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('S')
    });
}

pub(super) fn own_tid() -> i32 {
    // SAFETY: asks.
    unsafe { libc::gettid() }
}

/// One thread of a kind, which runs the closure to its end.
pub(super) type Run = fn(Box<dyn FnOnce() + Send>);

extern "C" fn pthread_main(closure: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `by_pthread` made it of a box.
    unsafe { Box::from_raw(closure.cast::<Box<dyn FnOnce() + Send>>())() };
    std::ptr::null_mut()
}

fn by_pthread(closure: Box<dyn FnOnce() + Send>) {
    let closure = Box::into_raw(Box::new(closure));
    // SAFETY: a thread that takes the box, and is joined; a handle may be zero bytes.
    unsafe {
        let mut thread: libc::pthread_t = std::mem::zeroed();
        let made =
            libc::pthread_create(&mut thread, std::ptr::null(), pthread_main, closure.cast());
        assert_eq!(made, 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
    }
}

pub(super) const KINDS: [(&str, Run); 4] = [
    ("spawn", |f| rawthread::spawn(f).join().unwrap()),
    ("warm", |f| rawthread::warm::spawn(f).join().unwrap()),
    ("std", |f| std::thread::spawn(f).join().unwrap()),
    ("pthread", by_pthread),
];

/// The line of docs/dropin.md for half-converted programs: a thread that knows nothing of this crate, and
/// sleeps by std's function, is woken by its handle.
#[test]
fn one_hook_makes_every_thread_known_to_std() {
    if !in_subprocess("across_std::one_hook_makes_every_thread_known_to_std") {
        return;
    }
    watchdog(60);
    rawthread::add_spawn_hook(|_| || drop(rawthread::current()));
    for spawn in [
        rawthread::spawn::<fn(), ()>,
        rawthread::warm::spawn::<fn(), ()>,
    ] {
        for _ in 0..20 {
            let parked = spawn(std::thread::park);
            wait_until_asleep(parked.tid());
            parked.thread().unpark();
            parked.join().unwrap();
        }
    }
    // Threads of threads have it, too.
    rawthread::spawn(|| {
        let parked = rawthread::spawn(std::thread::park);
        wait_until_asleep(parked.tid());
        parked.thread().unpark();
        parked.join().unwrap();
    })
    .join()
    .unwrap();
}

/// Every kind of thread, every pair of crates, the token before and after the sleep begins.
#[test]
fn a_token_of_either_crate_ends_a_park_of_either() {
    if !in_subprocess("across_std::a_token_of_either_crate_ends_a_park_of_either") {
        return;
    }
    for (kind, run) in KINDS {
        for park in BOTH {
            for wake in BOTH {
                for asleep in [false, true] {
                    eprintln!("{kind}: parked by {park:?}, woken by {wake:?}, asleep: {asleep}");
                    watchdog(60);
                    let (sender, receiver) = mpsc::channel::<(Handle, i32)>();
                    let waker = std::thread::spawn(move || {
                        // Three in a row: the last two find the handle of the first.
                        for _ in 0..3 {
                            let (handle, tid) = receiver.recv().unwrap();
                            if asleep {
                                wait_until_asleep(tid);
                            }
                            handle.unpark();
                        }
                    });
                    run(Box::new(move || {
                        for _ in 0..3 {
                            sender.send((wake.current(), own_tid())).unwrap();
                            if !asleep {
                                std::thread::sleep(Duration::from_millis(2));
                            }
                            park.park();
                        }
                    }));
                    waker.join().unwrap();
                }
            }
        }
    }
}

/// The handle that `spawn` returned is the only one, and std has none of the thread yet: the token
/// waits until it can pass.
#[test]
fn a_token_given_before_std_knows_the_thread_passes_to_std() {
    for park in BOTH {
        let go = Arc::new(AtomicBool::new(false));
        let seen = go.clone();
        let thread = rawthread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                rawthread::yield_now();
            }
            let _ = rawthread::current();
            park.park();
        });
        thread.thread().unpark();
        go.store(true, Ordering::Release);
        let joined = thread.join_timeout(Duration::from_secs(60));
        joined.expect("the token was lost").unwrap();
    }
}

/// Whichever crates give two tokens, a thread has one of them.
#[test]
fn tokens_of_two_crates_do_not_add_up() {
    for wakers in [
        [By::Ours, By::Std],
        [By::Std, By::Ours],
        [By::Ours, By::Ours],
    ] {
        for park in BOTH {
            let slept = rawthread::spawn(move || {
                for wake in wakers {
                    wake.current().unpark();
                }
                park.park();
                let start = Instant::now();
                park.park_timeout(Duration::from_millis(20));
                start.elapsed()
            });
            assert!(slept.join().unwrap() >= Duration::from_millis(20));
        }
    }
}

#[test]
fn a_timed_park_takes_the_other_crates_token() {
    for (park, wake) in [(By::Ours, By::Std), (By::Std, By::Ours)] {
        let (sender, receiver) = mpsc::channel();
        let thread = rawthread::spawn(move || {
            sender.send(wake.current()).unwrap();
            let start = Instant::now();
            park.park_timeout(Duration::from_secs(1000));
            start.elapsed()
        });
        receiver.recv().unwrap().unpark();
        let joined = thread.join_timeout(Duration::from_secs(60));
        assert!(joined.expect("the token was lost").unwrap() < Duration::from_secs(1000));
    }
}

/// A storm of tokens: the hand-over races with them in each of many new threads.
#[test]
fn no_token_is_lost_while_it_is_handed_over() {
    for round in 0..400 {
        let park = BOTH[round % 2];
        let ready = Arc::new(AtomicBool::new(false));
        let seen = ready.clone();
        let thread = rawthread::spawn(move || {
            let _ = rawthread::current();
            while !seen.load(Ordering::Relaxed) {
                park.park();
            }
        });
        if round % 3 == 0 {
            rawthread::yield_now();
        }
        // One token for one condition: that it is visible is the token's doing.
        ready.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        let joined = thread.join_timeout(Duration::from_secs(60));
        joined.expect("the token was lost").unwrap();
    }
}

/// std's handle is gone in a destructor of a pthread key; before it, in those of thread-locals, it may
/// be. A park of this crate's works in both.
#[test]
fn a_park_works_in_destructors() {
    static STAGE: AtomicI32 = AtomicI32::new(0);
    static OPEN: AtomicI32 = AtomicI32::new(0);

    fn sleep_in(stage: i32) {
        STAGE.store(stage, Ordering::Release);
        while OPEN.load(Ordering::Acquire) < stage {
            rawthread::park();
        }
    }
    struct Early;
    impl Drop for Early {
        fn drop(&mut self) {
            sleep_in(2);
        }
    }
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            sleep_in(1);
        }
    }
    thread_local!(static EARLY: Cell<Option<Early>> = const { Cell::new(None) });
    thread_local!(static LATE: Cell<Option<Late>> = const { Cell::new(None) });
    unsafe extern "C" fn in_key(_: *mut libc::c_void) {
        sleep_in(3);
    }

    if !in_subprocess("across_std::a_park_works_in_destructors") {
        return;
    }
    // std's key comes first, so its destructor does: then std's handle is gone.
    std::thread::spawn(|| drop(std::thread::current()))
        .join()
        .unwrap();
    let mut key = 0;
    // std leaves key 0 free, which would be the first again.
    for _ in 0..2 {
        // SAFETY: a key with a destructor.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(in_key)) };
        assert_eq!(made, 0);
    }
    for (kind, run) in KINDS {
        for known in [true, false] {
            eprintln!("{kind}, known to std: {known}");
            watchdog(60);
            STAGE.store(0, Ordering::Release);
            OPEN.store(0, Ordering::Release);
            let (sender, receiver) = mpsc::channel();
            let body = move || {
                sender.send((rawthread::current(), own_tid())).unwrap();
                EARLY.set(Some(Early));
                if known {
                    rawthread::park_timeout(Duration::ZERO);
                }
                LATE.set(Some(Late));
                // SAFETY: the key is there; the value is never used.
                unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
            };
            let waker = std::thread::spawn(move || {
                let (thread, tid) = receiver.recv().unwrap();
                for stage in 1..=3 {
                    poll_until("the stage", || STAGE.load(Ordering::Acquire) == stage);
                    wait_until_asleep(tid);
                    OPEN.store(stage, Ordering::Release);
                    thread.unpark();
                }
            });
            run(Box::new(body));
            waker.join().unwrap();
        }
    }
}

/// std's handle is gone, and this crate is asked for the first time.
#[test]
fn a_thread_is_known_first_after_std_has_forgotten_it() {
    static WOKEN: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" fn in_key(_: *mut libc::c_void) {
        let thread = rawthread::current();
        let waker = rawthread::spawn(move || thread.unpark());
        rawthread::park();
        waker.join().unwrap();
        WOKEN.store(true, Ordering::Release);
    }

    if !in_subprocess("across_std::a_thread_is_known_first_after_std_has_forgotten_it") {
        return;
    }
    // std's key comes first, so its destructor does.
    std::thread::spawn(|| drop(std::thread::current()))
        .join()
        .unwrap();
    let mut key = 0;
    // std leaves key 0 free.
    for _ in 0..2 {
        // SAFETY: a key with a destructor.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(in_key)) };
        assert_eq!(made, 0);
    }
    by_pthread(Box::new(move || {
        drop(std::thread::current());
        // SAFETY: the key is there; the value is never used.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
    }));
    assert!(WOKEN.load(Ordering::Acquire));
}

/// std's handle is gone, and a thread of this crate's parks for the first time: std, which would panic, is
/// not asked, so no panic hook runs.
#[test]
fn a_first_park_after_std_has_forgotten_the_thread_asks_std_for_nothing() {
    static PARKED: AtomicBool = AtomicBool::new(false);
    static PANICS: AtomicI32 = AtomicI32::new(0);
    unsafe extern "C" fn in_key(_: *mut libc::c_void) {
        rawthread::park_timeout(Duration::from_millis(1));
        PARKED.store(true, Ordering::Release);
    }

    let test = "across_std::a_first_park_after_std_has_forgotten_the_thread_asks_std_for_nothing";
    if !in_subprocess(test) {
        return;
    }
    std::thread::spawn(|| drop(std::thread::current()))
        .join()
        .unwrap();
    let mut key = 0;
    // std leaves key 0 free.
    for _ in 0..2 {
        // SAFETY: a key with a destructor.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(in_key)) };
        assert_eq!(made, 0);
    }
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let thread = rawthread::spawn(move || {
        drop(std::thread::current());
        // SAFETY: the key is there; the value is never used.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
    });
    thread.join().unwrap();
    assert!(PARKED.load(Ordering::Acquire));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

/// The thread that forked is the child's, with both of its handles.
#[test]
fn a_forked_child_parks_by_both() {
    if !in_subprocess("across_std::a_forked_child_parks_by_both") {
        return;
    }
    let forks = rawthread::spawn(|| {
        let _ = rawthread::current();
        in_forked_child(|| {
            for park in BOTH {
                for wake in BOTH {
                    wake.current().unpark();
                    park.park();
                    let handle = wake.current();
                    let waker = rawthread::spawn(move || handle.unpark());
                    park.park();
                    waker.join().unwrap();
                }
            }
        });
    });
    forks.join().unwrap();
}
