//! Credentials that need not be asked for again.
//!
//! Most programs have no rights to give up: no thread of theirs can change its credentials
//! ([`InheritedAttrs::closed_credentials`]). The first such credentials that a thread is found to have are
//! kept; where a spawner and a worker have been found to have them, both still do:
//!
//! * a worker, because the process has had another thread since the worker's start, its spawner or those
//!   that came after it, as long as there is one to send it a task;
//! * a spawner, because a worker that is older than the spawner's last question was alive all the
//!   while. So a spawner keeps the number of the youngest worker that there was before it asked, and
//!   asks in full again before it sends a task to a younger one.
#![allow(unsafe_code, reason = "publishes a value once")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::runtime::{Rt, Runtime, current};
use crate::sys::inherited::{Credentials, InheritedAttrs};

/// The number of the youngest worker whose start has counted. Relaxed: a worker's start comes before the
/// kernel's answer to a question that is asked after its number was seen.
static YOUNGEST: AtomicU64 = AtomicU64::new(0);

/// The closed credentials that are kept.
struct Kept {
    /// | value | meaning |
    /// |---|---|
    /// | `NONE` | none yet |
    /// | `WRITING` | the thread that changed `NONE` to it writes them |
    /// | `READY` | they are there, and stay |
    ///
    /// A fork amid `WRITING` leaves the child with none, which costs it questions. `READY` is set with
    /// Release and read with Acquire: the value before it.
    state: AtomicU32,
    value: UnsafeCell<MaybeUninit<Credentials>>,
}

const NONE: u32 = 0;
const WRITING: u32 = 1;
const READY: u32 = 2;

// SAFETY: the table above.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    state: AtomicU32::new(NONE),
    value: UnsafeCell::new(MaybeUninit::uninit()),
};

fn kept() -> Option<&'static Credentials> {
    // SAFETY: READY: the value is there and is not written again.
    (KEPT.state.load(Ordering::Acquire) == READY)
        .then(|| unsafe { (*KEPT.value.get()).assume_init_ref() })
}

/// Whether the attributes' credentials are closed and those that are kept; the first closed ones are kept.
fn are_kept(attrs: &InheritedAttrs) -> bool {
    let Some(closed) = attrs.closed_credentials() else {
        return false;
    };
    let first = KEPT
        .state
        .compare_exchange(NONE, WRITING, Ordering::Relaxed, Ordering::Relaxed);
    if first.is_ok() {
        // SAFETY: WRITING is this thread's.
        unsafe { (*KEPT.value.get()).write(*closed) };
        KEPT.state.store(READY, Ordering::Release);
    }
    kept() == Some(closed)
}

/// A worker's attributes at its start, and its number, or 0 if its credentials are not those that are kept.
pub(super) fn of_new_worker() -> (Option<InheritedAttrs>, u64) {
    let number = YOUNGEST.fetch_add(1, Ordering::Relaxed) + 1;
    let attrs = InheritedAttrs::current();
    let closed = attrs.as_ref().is_some_and(are_kept);
    (attrs, if closed { number } else { 0 })
}

/// The attributes of a worker of this number, again.
pub(super) fn of_worker(number: u64) -> Option<InheritedAttrs> {
    match kept().filter(|_| number != 0) {
        Some(credentials) => InheritedAttrs::current_with(credentials),
        None => InheritedAttrs::current(),
    }
}

/// The calling spawner's attributes.
pub(super) struct SpawnerAttrs {
    attrs: InheritedAttrs,
    /// They hold where a worker is alive whose number is not above this one; `None`: in any case.
    up_to: Option<u64>,
}

impl SpawnerAttrs {
    /// As little as can be asked; `None` as [`InheritedAttrs::current`].
    pub(super) fn ask() -> Option<Self> {
        // SAFETY: null, or permanent memory (RECORD-3).
        let own = unsafe { Rt::current().as_ref() };
        let mark = own.map_or(0, |own| own.closed_mark().get());
        match kept().filter(|_| mark != 0) {
            Some(credentials) => Some(Self {
                attrs: InheritedAttrs::current_with(credentials)?,
                up_to: Some(mark),
            }),
            None => Self::ask_in_full(),
        }
    }

    fn ask_in_full() -> Option<Self> {
        // Before the question.
        let youngest = YOUNGEST.load(Ordering::Relaxed);
        let attrs = InheritedAttrs::current()?;
        if are_kept(&attrs) {
            current::current_ref().closed_mark().set(youngest);
        }
        Some(Self { attrs, up_to: None })
    }

    /// The attributes, for comparison with those of a living worker of this number; asks again if it must.
    pub(super) fn beside(&mut self, number: u64) -> Option<&InheritedAttrs> {
        if self
            .up_to
            .is_some_and(|up_to| number == 0 || number > up_to)
        {
            *self = Self::ask_in_full()?;
        }
        Some(&self.attrs)
    }
}
