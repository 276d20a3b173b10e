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

use crate::error::{Error, Operation};
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, sched};
use crate::thread::cpu_set::CpuSet;
use crate::thread::scheduling::Scheduling;

/// A step of the program's own, from [`crate::thread::Builder::before_start`].
#[cfg(feature = "alloc")]
pub(in crate::thread) type BeforeStart =
    alloc::boxed::Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// A set of processors is a kilobyte: too much to be copied wherever a builder goes.
#[cfg(feature = "alloc")]
pub(in crate::thread) type BoxedCpuSet = alloc::boxed::Box<CpuSet>;
#[cfg(not(feature = "alloc"))]
pub(in crate::thread) type BoxedCpuSet = CpuSet;

/// What to do and report before the closure.
pub(in crate::thread) struct StartupActions {
    affinity: Option<BoxedCpuSet>,
    scheduling: Option<Scheduling>,
    #[cfg(feature = "alloc")]
    before_start: Option<BeforeStart>,
    /// `None` if there is nothing to do. Called through this alone, so that a program in which
    /// nobody asks for anything has none of it.
    vtable: Option<&'static StartupVTable>,
}

/// How steps are checked, made and reported.
struct StartupVTable {
    check: fn(&StartupActions) -> Result<(), Error>,
    run_in_child: unsafe fn(*const StartupHandshake<'static>, Option<SigSet>) -> bool,
    wait: fn(&StartupHandshake<'_>) -> Result<(), Error>,
}

static STARTUP_VTABLE: StartupVTable = StartupVTable {
    check: StartupActions::check_all,
    run_in_child,
    wait,
};

impl StartupActions {
    /// Nothing. A constant would be copied, the room for a set of processors included.
    pub(in crate::thread) const fn none() -> Self {
        Self {
            affinity: None,
            scheduling: None,
            #[cfg(feature = "alloc")]
            before_start: None,
            vtable: None,
        }
    }

    #[allow(
        clippy::useless_conversion,
        reason = "a box where there is an allocator"
    )]
    pub(in crate::thread) fn set_affinity(&mut self, cpus: CpuSet) {
        self.affinity = Some(cpus.into());
        self.vtable = Some(&STARTUP_VTABLE);
    }

    pub(in crate::thread) fn set_scheduling(&mut self, scheduling: Scheduling) {
        self.scheduling = Some(scheduling);
        self.vtable = Some(&STARTUP_VTABLE);
    }

    /// Adds a step behind those that are there.
    #[cfg(feature = "alloc")]
    pub(in crate::thread) fn add_before_start(
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
        self.vtable = Some(&STARTUP_VTABLE);
    }

    /// Finds what can be known to fail.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(in crate::thread) fn check(&self) -> Result<(), Error> {
        self.vtable.map_or(Ok(()), |vtable| (vtable.check)(self))
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
pub(in crate::thread) struct StartupHandshake<'a> {
    word: AtomicU32,
    actions: UnsafeCell<&'a mut StartupActions>,
    error: UnsafeCell<Option<Error>>,
    vtable: &'static StartupVTable,
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

impl<'a> StartupHandshake<'a> {
    /// A set-up for these steps, if there are any.
    pub(in crate::thread) fn new(actions: &'a mut StartupActions) -> Option<Self> {
        Some(Self {
            word: AtomicU32::new(PENDING),
            vtable: actions.vtable?,
            actions: UnsafeCell::new(actions),
            error: UnsafeCell::new(None),
        })
    }

    /// New thread: makes the settings and reports; true if the closure is to run.
    ///
    /// # Safety
    /// `setup` is the spawner's, who sleeps in [`StartupHandshake::wait`]; called once.
    pub(in crate::thread) unsafe fn run_in_child(
        setup: *const StartupHandshake<'static>,
        mask: Option<SigSet>,
    ) -> bool {
        // SAFETY: the spawner waits; passed on.
        unsafe { ((*setup).vtable.run_in_child)(setup, mask) }
    }

    /// Spawner: sleeps until the report.
    ///
    /// # Errors
    /// The setting that failed.
    pub(in crate::thread) fn wait(&self) -> Result<(), Error> {
        (self.vtable.wait)(self)
    }
}

/// # Safety
/// As [`StartupHandshake::run_in_child`].
unsafe fn run_in_child(setup: *const StartupHandshake<'static>, mask: Option<SigSet>) -> bool {
    // SAFETY: PENDING: the steps are this thread's.
    let outcome = apply(unsafe { &mut *(*setup).actions.get() }, mask);
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

fn wait(setup: &StartupHandshake<'_>) -> Result<(), Error> {
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
fn apply(actions: &mut StartupActions, mask: Option<SigSet>) -> Result<(), Error> {
    if let Some(cpus) = &actions.affinity {
        sched::set_affinity(0, cpus.words())
            .map_err(|errno| Error::from_operation(&AFFINITY, errno))?;
    }
    if let Some(scheduling) = actions.scheduling {
        sched::set_attributes(0, &scheduling.attributes())
            .map_err(|errno| Error::from_operation(&SCHEDULING, errno))?;
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    #[cfg(feature = "alloc")]
    if let Some(before_start) = actions.before_start.take() {
        super::packet::catch(before_start).map_err(|panic| {
            // A payload whose drop panics, too: what that leaves is not looked at.
            let _ = super::packet::catch(move || {
                let _dropped = panic;
            })
            .map_err(core::mem::forget);
            Error::from_operation(&BEFORE_START, Errno::new(libc::ECANCELED))
        })??;
    }
    Ok(())
}
