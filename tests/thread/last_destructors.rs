//! What a thread is to itself and to others while its last destructors run.

#![allow(unsafe_code, reason = "makes a pthread key")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use super::across_std::{BOTH, By, Handle, KINDS, Run, own_tid, wait_until_asleep};
use super::common::{in_subprocess, poll_until, watchdog};

/// Sleeps, in a destructor that runs late, until it is woken.
struct Sleeper(By);

static SLEEPS: AtomicBool = AtomicBool::new(false);
static WAKES: AtomicBool = AtomicBool::new(false);

impl Drop for Sleeper {
    fn drop(&mut self) {
        SLEEPS.store(true, Ordering::Release);
        while !WAKES.load(Ordering::Acquire) {
            self.0.park();
        }
    }
}

thread_local!(static OLDEST: Cell<Option<Sleeper>> = const { Cell::new(None) });

/// The oldest thread-local is destroyed last, after any that this crate might have made for itself.
fn tokens_pass_in_the_last_destructor(kinds: impl Iterator<Item = (&'static str, Run)>) {
    for (kind, run) in kinds {
        for (park, wake) in BOTH.into_iter().flat_map(|by| BOTH.map(|wake| (by, wake))) {
            eprintln!("{kind}: parked by {park:?}, woken by {wake:?}");
            pass_a_token(
                run,
                park,
                wake,
                |park| OLDEST.set(Some(Sleeper(park))),
                |_| (),
            );
        }
    }
}

/// Runs a thread that sleeps in a destructor until it is woken; `old` makes the thread-local's value before the
/// thread calls this crate, or `young` does afterwards.
fn pass_a_token(run: Run, park: By, wake: By, old: fn(By), young: fn(By)) {
    watchdog(60);
    SLEEPS.store(false, Ordering::Release);
    WAKES.store(false, Ordering::Release);
    let (sender, receiver) = mpsc::channel();
    let waker = std::thread::spawn(move || {
        let (handle, tid): (Handle, i32) = receiver.recv().unwrap();
        poll_until("the destructor", || SLEEPS.load(Ordering::Acquire));
        wait_until_asleep(tid);
        WAKES.store(true, Ordering::Release);
        handle.unpark();
    });
    run(Box::new(move || {
        old(park);
        let ours = rawthread::current();
        let handle = match wake {
            By::Ours => Handle::Ours(ours),
            By::Std => wake.current(),
        };
        young(park);
        sender.send((handle, own_tid())).unwrap();
    }));
    waker.join().unwrap();
}

#[test]
fn tokens_pass_in_destructors_that_run_last() {
    if in_subprocess("last_destructors::tokens_pass_in_destructors_that_run_last") {
        tokens_pass_in_the_last_destructor(KINDS.into_iter());
    }
}

/// The first thread that this crate sees has a handle of std's already.
#[test]
fn tokens_pass_in_destructors_of_stds_threads_that_run_last() {
    if in_subprocess("last_destructors::tokens_pass_in_destructors_of_stds_threads_that_run_last") {
        tokens_pass_in_the_last_destructor(KINDS.into_iter().skip(2));
    }
}

/// A thread-local that is younger than the thread's first call of this crate: either crate's token ends
/// either's park in its destructor, in every kind of program.
#[test]
fn tokens_pass_in_destructors_of_young_thread_locals() {
    thread_local!(static YOUNG: Cell<Option<Sleeper>> = const { Cell::new(None) });

    if !in_subprocess("last_destructors::tokens_pass_in_destructors_of_young_thread_locals") {
        return;
    }
    for (kind, run) in KINDS {
        for (park, wake) in BOTH.into_iter().flat_map(|by| BOTH.map(|wake| (by, wake))) {
            eprintln!("{kind}: parked by {park:?}, woken by {wake:?}");
            pass_a_token(
                run,
                park,
                wake,
                |_| (),
                |park| YOUNG.set(Some(Sleeper(park))),
            );
        }
    }
}

static IDS: Mutex<Vec<rawthread::ThreadId>> = Mutex::new(Vec::new());

fn note_id() {
    IDS.lock().unwrap().push(rawthread::current().id());
}

/// The destructor of a pthread key that is run in two rounds.
unsafe extern "C" fn in_two_rounds(value: *mut libc::c_void) {
    note_id();
    if value.addr() > 1 {
        let key = (value.addr() >> 8) as libc::pthread_key_t;
        // SAFETY: the key is there; the value is never used as an address.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
    }
}

/// From a thread's first destructor to its last `current` is the same, in threads of others' making, too.
#[test]
fn a_thread_is_the_same_in_all_of_its_destructors() {
    struct NotesId;
    impl Drop for NotesId {
        fn drop(&mut self) {
            note_id();
        }
    }
    thread_local!(static OLD: Cell<Option<NotesId>> = const { Cell::new(None) });

    if !in_subprocess("last_destructors::a_thread_is_the_same_in_all_of_its_destructors") {
        return;
    }
    // The record's key comes first, so that its destructor does.
    let _ = rawthread::current();
    let mut key = 0;
    // SAFETY: a key with a destructor.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(in_two_rounds)) };
    assert_eq!(made, 0);
    for (kind, run) in KINDS {
        run(Box::new(move || {
            OLD.set(Some(NotesId));
            note_id();
            let value = std::ptr::without_provenance((key as usize) << 8 | 2);
            // SAFETY: the key is there; the value is never used as an address.
            unsafe { libc::pthread_setspecific(key, value) };
        }));
        let ids = std::mem::take(&mut *IDS.lock().unwrap());
        assert_eq!(ids.len(), 4, "{kind}");
        assert!(ids.iter().all(|id| *id == ids[0]), "{kind}: {ids:?}");
    }
}
