//! What a thread does before its closure's first instruction, and how a failure of it becomes
//! `spawn`'s error.
//!
//! The new thread makes the settings itself and reports before it runs the closure; the spawner
//! sleeps until then. A thread whose settings failed never runs its closure: it leaves, and the
//! spawner, once the kernel is done with it, takes the closure back and returns the error.
#![allow(
    unsafe_code,
    reason = "hands a structure on the spawner's stack to the new thread"
)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::cpu_set::CpuSet;
use super::scheduling::Scheduling;
use crate::error::{Error, Step};
use crate::sys::futex::{self, Scope};
use crate::sys::sched;
use crate::sys::signal::{self, KernelSet};

/// A step of the program's own, from [`super::Builder::before_start`].
#[cfg(feature = "alloc")]
pub(super) type BeforeStart = alloc::boxed::Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// What to do and report before the closure.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) affinity: Option<CpuSet>,
    pub(super) scheduling: Option<Scheduling>,
    #[cfg(feature = "alloc")]
    pub(super) before_start: Option<BeforeStart>,
}

impl Steps {
    pub(super) const NONE: Self = Self {
        affinity: None,
        scheduling: None,
        #[cfg(feature = "alloc")]
        before_start: None,
    };

    /// Whether there is nothing that could fail.
    pub(super) fn is_empty(&self) -> bool {
        #[cfg(feature = "alloc")]
        if self.before_start.is_some() {
            return false;
        }
        self.affinity.is_none() && self.scheduling.is_none()
    }
}

/// The report of one set-up, on the spawner's stack.
///
/// | word | meaning | who may touch steps and error |
/// |---|---|---|
/// | `PENDING` | the thread makes the settings | thread |
/// | `READY` | all are in force; the closure runs | spawner |
/// | `FAILED` | one failed; the thread leaves without the closure | spawner |
///
/// The thread's Release store of `READY` or `FAILED` is its last touch; the wake that follows uses
/// only the address. The spawner's Acquire load sees the error.
pub(super) struct Setup {
    word: AtomicU32,
    steps: UnsafeCell<Steps>,
    error: UnsafeCell<Option<Error>>,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const FAILED: u32 = 2;

static AFFINITY: Step = Step {
    name: "sched_setaffinity",
    purpose: "restrict the thread to the processors asked for",
    advice: "At least one of them must be online and in the process's cpuset.",
};

static SCHEDULING: Step = Step {
    name: "sched_setattr",
    purpose: "give the thread the scheduling asked for",
    advice: "EPERM: raise RLIMIT_RTPRIO or RLIMIT_NICE, or have CAP_SYS_NICE; EINVAL: see \
             sched(7) for the ranges.",
};

#[cfg(feature = "alloc")]
static BEFORE_START: Step = Step {
    name: "before_start",
    purpose: "prepare the thread, for it panicked",
    advice: "The panic's message says why.",
};

impl Setup {
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            word: AtomicU32::new(PENDING),
            steps: UnsafeCell::new(steps),
            error: UnsafeCell::new(None),
        }
    }

    /// New thread: makes the settings and reports; true if the closure is to run.
    ///
    /// # Safety
    /// `setup` is the spawner's, who sleeps in [`Setup::wait`]; called once.
    pub(super) unsafe fn perform(setup: *const Self, mask: Option<KernelSet>) -> bool {
        // SAFETY: PENDING: the steps are this thread's.
        let steps = unsafe { core::mem::take(&mut *(*setup).steps.get()) };
        let outcome = make(steps, mask);
        let (word, ready) = match outcome {
            Ok(()) => (READY, true),
            Err(error) => {
                // SAFETY: PENDING: the error's place is this thread's.
                unsafe { *(*setup).error.get() = Some(error) };
                (FAILED, false)
            }
        };
        // SAFETY: the spawner waits, so the word is there; after the store it may not be.
        let address = unsafe {
            let address = (*setup).word.as_ptr();
            (*setup).word.store(word, Ordering::Release);
            address
        };
        futex::wake(address, 1, Scope::Private);
        ready
    }

    /// Spawner: sleeps until the report.
    ///
    /// # Errors
    /// The setting that failed.
    pub(super) fn wait(&self) -> Result<(), Error> {
        loop {
            match self.word.load(Ordering::Acquire) {
                PENDING => {
                    let _ = futex::wait(&self.word, PENDING, None, Scope::Private);
                }
                READY => return Ok(()),
                _ => {
                    // SAFETY: FAILED: the error is the spawner's.
                    let error = unsafe { (*self.error.get()).take() };
                    return Err(error.unwrap_or(Error::from_raw_os_error(libc::EINVAL)));
                }
            }
        }
    }
}

/// Makes the settings in the order in which later ones may depend on earlier ones.
fn make(steps: Steps, mask: Option<KernelSet>) -> Result<(), Error> {
    if let Some(cpus) = &steps.affinity {
        sched::set_affinity(0, cpus.mask()?).map_err(|errno| Error::at_step(&AFFINITY, errno))?;
    }
    if let Some(scheduling) = steps.scheduling {
        sched::set_attributes(0, &scheduling.attributes())
            .map_err(|errno| Error::at_step(&SCHEDULING, errno))?;
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    #[cfg(feature = "alloc")]
    if let Some(before_start) = steps.before_start {
        super::packet::catch(before_start).map_err(|_panic| {
            Error::at_step(&BEFORE_START, crate::sys::Errno::new(libc::ECANCELED))
        })??;
    }
    Ok(())
}
