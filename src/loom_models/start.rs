//! Models of `thread::spawn::setup` and `primitive::answer`: what a new thread tells its spawner before the
//! closure runs, and a child that may be killed before it says anything.

use super::explore::{RaceCell, explore};
use crate::error::Error;
use crate::primitive::answer;
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sys::futex::{Deadline, Sharing};
use crate::thread::spawn::setup::{StartupActions, StartupHandshake};
use alloc::boxed::Box;
use core::time::Duration;
use loom::sync::Arc;
use loom::thread;

/// What lies on the spawner's stack.
struct Spawner(StartupHandshake<'static>);

#[allow(unsafe_code, reason = "the spawner's frame is shared as this is")]
// SAFETY: the handshake's word says which side may touch the rest; the models put that to the test.
unsafe impl Sync for Spawner {}
#[allow(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Spawner {}

/// The spawner of a thread whose step of its own ends as `outcome` says, and what the step wrote.
fn set_up(outcome: fn() -> Result<(), Error>) {
    explore(4, move || {
        let written = Arc::new(RaceCell::new(0));
        let mut actions = StartupActions::none();
        actions.add_before_start({
            let written = written.clone();
            move || {
                written.set(7);
                outcome()
            }
        });
        // Leaked: loom's threads outlive no frame of this one that it knows.
        let actions: &'static mut StartupActions = Box::leak(Box::new(actions));
        let handshake = StartupHandshake::new(actions).unwrap();
        let spawner = Arc::new(Spawner(handshake));
        let thread = thread::spawn({
            let spawner = spawner.clone();
            #[allow(unsafe_code, reason = "as a new thread does")]
            // SAFETY: the other thread waits below; once.
            move || unsafe { StartupHandshake::run_in_child(&raw const spawner.0, None) }
        });
        let answer = spawner.0.wait();
        assert_eq!(written.get(), 7, "the step came before its answer");
        assert_eq!(answer.is_ok(), outcome().is_ok());
        assert_eq!(thread.join().unwrap(), answer.is_ok());
    });
}

#[test]
fn a_spawner_waits_until_the_thread_is_set_up() {
    set_up(|| Ok(()));
}

#[test]
fn a_spawner_gets_the_error_of_the_step_that_failed() {
    set_up(|| Err(Error::from_raw_os_error(libc::EXDEV)));
}

/// A donor's answer is its slot's word; its creator uses the slot at once.
#[test]
fn a_creator_sees_what_the_donor_left() {
    explore(4, || {
        let slot = Arc::new((AtomicU32::new(1), RaceCell::new(0)));
        let donor = thread::spawn({
            let slot = slot.clone();
            move || {
                slot.1.set(7);
                #[allow(unsafe_code, reason = "as a donor does")]
                // SAFETY: both threads hold the word.
                unsafe {
                    answer::give(&raw const slot.0, 3, Sharing::Shared);
                }
            }
        });
        assert_eq!(answer::wait(&slot.0, 1, Sharing::Shared), 3);
        assert_eq!(slot.1.get(), 7);
        slot.1.set(8);
        donor.join().unwrap();
    });
}

struct Closure {
    word: AtomicU32,
    /// 1: the kernel says that the child has ended.
    gone: AtomicU32,
    /// What the child's closure, or its parent's, does with the captures.
    captures: RaceCell,
}

/// A child that begins its closure, or is killed first, at the moment at which its parent looks for it: the
/// closure has one owner.
fn a_child(killed: bool) {
    explore(4, move || {
        let closure = Arc::new(Closure {
            word: AtomicU32::new(0),
            gone: AtomicU32::new(0),
            captures: RaceCell::new(0),
        });
        let child = thread::spawn({
            let closure = closure.clone();
            move || {
                if !killed {
                    closure.captures.set(1);
                    #[allow(unsafe_code, reason = "as a child does")]
                    // SAFETY: both threads hold the word.
                    unsafe {
                        answer::give(&raw const closure.word, 1, Sharing::Shared);
                    }
                }
                closure.gone.store(1, Release);
            }
        });
        let answer = answer::wait_or_end(
            &closure.word,
            0,
            Sharing::Shared,
            || Deadline::after(Duration::ZERO),
            || {
                thread::yield_now();
                closure.gone.load(Acquire) == 1
            },
        );
        assert_eq!(answer, (!killed).then_some(1), "one owner");
        assert_eq!(closure.captures.get(), u32::from(!killed));
        closure.captures.set(2);
        child.join().unwrap();
        assert_eq!(closure.gone.load(Relaxed), 1);
    });
}

#[test]
fn a_child_has_its_closure_or_leaves_it_to_the_parent() {
    a_child(false);
    a_child(true);
}
