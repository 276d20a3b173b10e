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
use crate::error::{Error, Operation};
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, sched};

/// A step of the program's own, from [`super::Builder::before_start`].
#[cfg(feature = "alloc")]
pub(super) type BeforeStart = alloc::boxed::Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// A set of processors is a kilobyte: too much to be copied wherever a builder goes.
#[cfg(feature = "alloc")]
pub(super) type Affinity = alloc::boxed::Box<CpuSet>;
#[cfg(not(feature = "alloc"))]
pub(super) type Affinity = CpuSet;

/// What to do and report before the closure.
pub(super) struct Steps {
    affinity: Option<Affinity>,
    scheduling: Option<Scheduling>,
    #[cfg(feature = "alloc")]
    before_start: Option<BeforeStart>,
    /// `None` if there is nothing to do. Called through this alone, so that a program in which
    /// nobody asks for anything has none of it.
    code: Option<&'static Code>,
}

/// How steps are checked, made and reported.
struct Code {
    check: fn(&Steps) -> Result<(), Error>,
    perform: unsafe fn(*const Setup<'static>, Option<SigSet>) -> bool,
    wait: fn(&Setup<'_>) -> Result<(), Error>,
}

static CODE: Code = Code {
    check: Steps::check_all,
    perform,
    wait,
};

impl Steps {
    /// Nothing. A constant would be copied, the room for a set of processors included.
    pub(super) const fn none() -> Self {
        Self {
            affinity: None,
            scheduling: None,
            #[cfg(feature = "alloc")]
            before_start: None,
            code: None,
        }
    }

    #[allow(
        clippy::useless_conversion,
        reason = "a box where there is an allocator"
    )]
    pub(super) fn set_affinity(&mut self, cpus: CpuSet) {
        self.affinity = Some(cpus.into());
        self.code = Some(&CODE);
    }

    pub(super) fn set_scheduling(&mut self, scheduling: Scheduling) {
        self.scheduling = Some(scheduling);
        self.code = Some(&CODE);
    }

    /// Adds a step behind those that are there.
    #[cfg(feature = "alloc")]
    pub(super) fn add_before_start(
        &mut self,
        step: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) {
        self.before_start = Some(match self.before_start.take() {
            None => alloc::boxed::Box::new(step),
            Some(earlier) => alloc::boxed::Box::new(move || {
                earlier()?;
                step()
            }),
        });
        self.code = Some(&CODE);
    }

    /// Finds what can be known to fail.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.code.map_or(Ok(()), |code| (code.check)(self))
    }

    fn check_all(&self) -> Result<(), Error> {
        self.affinity.as_ref().map_or(Ok(()), |cpus| cpus.check())
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
pub(super) struct Setup<'a> {
    word: AtomicU32,
    steps: UnsafeCell<&'a mut Steps>,
    error: UnsafeCell<Option<Error>>,
    code: &'static Code,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const FAILED: u32 = 2;

static AFFINITY: Operation = Operation {
    name: "sched_setaffinity",
    purpose: "restrict the thread to the processors asked for",
    hint: |_| "At least one of them must be online and in the process's cpuset.",
};

static SCHEDULING: Operation = Operation {
    name: "sched_setattr",
    purpose: "give the thread the scheduling asked for",
    hint: |errno| match errno {
        Errno::EPERM => "Raise RLIMIT_RTPRIO or RLIMIT_NICE, or have CAP_SYS_NICE.",
        _ => "See sched(7) for the ranges.",
    },
};

#[cfg(feature = "alloc")]
static BEFORE_START: Operation = Operation {
    name: "before_start",
    purpose: "prepare the thread, for it panicked",
    hint: |_| "The panic's message says why.",
};

impl<'a> Setup<'a> {
    /// A set-up for these steps, if there are any.
    pub(super) fn new(steps: &'a mut Steps) -> Option<Self> {
        Some(Self {
            word: AtomicU32::new(PENDING),
            code: steps.code?,
            steps: UnsafeCell::new(steps),
            error: UnsafeCell::new(None),
        })
    }

    /// New thread: makes the settings and reports; true if the closure is to run.
    ///
    /// # Safety
    /// `setup` is the spawner's, who sleeps in [`Setup::wait`]; called once.
    pub(super) unsafe fn perform(setup: *const Setup<'static>, mask: Option<SigSet>) -> bool {
        // SAFETY: the spawner waits; passed on.
        unsafe { ((*setup).code.perform)(setup, mask) }
    }

    /// Spawner: sleeps until the report.
    ///
    /// # Errors
    /// The setting that failed.
    pub(super) fn wait(&self) -> Result<(), Error> {
        (self.code.wait)(self)
    }
}

/// # Safety
/// As [`Setup::perform`].
unsafe fn perform(setup: *const Setup<'static>, mask: Option<SigSet>) -> bool {
    // SAFETY: PENDING: the steps are this thread's.
    let outcome = make(unsafe { &mut *(*setup).steps.get() }, mask);
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
    futex::wake(address, 1, Sharing::Private);
    ready
}

fn wait(setup: &Setup<'_>) -> Result<(), Error> {
    loop {
        match setup.word.load(Ordering::Acquire) {
            PENDING => {
                let _ = futex::wait(&setup.word, PENDING, None, Sharing::Private);
            }
            READY => return Ok(()),
            _ => {
                // SAFETY: FAILED: the error is the spawner's.
                let error = unsafe { (*setup.error.get()).take() };
                return Err(error.unwrap_or(Error::from_raw_os_error(libc::EINVAL)));
            }
        }
    }
}

/// Makes the settings in the order in which later ones may depend on earlier ones.
fn make(steps: &mut Steps, mask: Option<SigSet>) -> Result<(), Error> {
    if let Some(cpus) = &steps.affinity {
        sched::set_affinity(0, cpus.words())
            .map_err(|errno| Error::from_operation(&AFFINITY, errno))?;
    }
    if let Some(scheduling) = steps.scheduling {
        sched::set_attributes(0, &scheduling.attributes())
            .map_err(|errno| Error::from_operation(&SCHEDULING, errno))?;
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    #[cfg(feature = "alloc")]
    if let Some(before_start) = steps.before_start.take() {
        super::packet::catch(before_start).map_err(|_panic| {
            Error::from_operation(&BEFORE_START, Errno::new(libc::ECANCELED))
        })??;
    }
    Ok(())
}
