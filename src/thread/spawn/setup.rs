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

#[cfg(feature = "alloc")]
use super::unwind;
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::primitive::answer;
use crate::primitive::atomic::AtomicU32;
#[cfg(feature = "alloc")]
use crate::primitive::fallible::try_box;
use crate::sys::Errno;
use crate::sys::futex::Sharing;
use crate::sys::sched::{self, SchedAttr};
use crate::sys::signal::{self, SigSet};
use crate::sys::task;
use crate::thread::cpu_set::{CpuSet, SET_AFFINITY};
use crate::thread::scheduling::{SET_SCHEDULING, Scheduling};

/// A step of the program's own, from [`crate::thread::Builder::before_start`].
#[cfg(feature = "alloc")]
type BeforeStart = alloc::boxed::Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Without an allocator there is none.
#[cfg(not(feature = "alloc"))]
type BeforeStart = core::convert::Infallible;

/// A set of processors is a kilobyte: too much to be copied wherever a builder goes.
#[cfg(feature = "alloc")]
type BoxedCpuSet = alloc::boxed::Box<CpuSet>;
#[cfg(not(feature = "alloc"))]
type BoxedCpuSet = CpuSet;

#[cfg(feature = "alloc")]
fn boxed_cpus(cpus: CpuSet) -> Option<BoxedCpuSet> {
    try_box(cpus).ok()
}

#[cfg(not(feature = "alloc"))]
fn boxed_cpus(cpus: CpuSet) -> Option<BoxedCpuSet> {
    Some(cpus)
}

/// What a new thread does and reports before its closure.
pub(crate) struct StartupActions {
    affinity: Option<BoxedCpuSet>,
    /// None if its `size` is 0. An `Option` would be eight bytes longer, and then the compiler copies a
    /// builder where it computed it before.
    scheduling: SchedAttr,
    before_start: Option<BeforeStart>,
    /// What clone was not asked to leave unshared, for libc made the thread.
    unshared: CloneFlags,
    /// `None` if there is nothing to do. The code is called through this alone, so that a program
    /// without startup actions does not contain it.
    vtable: Option<&'static StartupVTable>,
}

/// How the actions are checked, made and reported.
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

/// Of actions for which there was no memory: they are not made.
static REFUSED_VTABLE: StartupVTable = StartupVTable {
    check: |_| Err(diagnosis::map_error(Errno::ENOMEM, size_of::<CpuSet>())),
    run_in_child,
    wait,
};

impl StartupActions {
    /// No actions. A function, for a constant would be copied whole, the set of processors included.
    pub(crate) const fn none() -> Self {
        Self {
            affinity: None,
            scheduling: SchedAttr::NONE,
            before_start: None,
            unshared: CloneFlags::empty(),
            vtable: None,
        }
    }

    /// There is something to do.
    fn activate(&mut self) {
        self.vtable.get_or_insert(&STARTUP_VTABLE);
    }

    /// There was no memory for something to do: the check fails.
    fn refuse(&mut self) {
        self.vtable = Some(&REFUSED_VTABLE);
    }

    pub(in crate::thread) fn set_affinity(&mut self, cpus: CpuSet) {
        self.activate();
        self.affinity = boxed_cpus(cpus);
        if self.affinity.is_none() {
            self.refuse();
        }
    }

    pub(in crate::thread) fn set_unshared(&mut self, flags: CloneFlags) {
        self.unshared = flags;
        self.activate();
    }

    pub(in crate::thread) fn set_scheduling(&mut self, scheduling: Scheduling) {
        self.scheduling = scheduling.attributes();
        self.activate();
    }

    /// Adds a step behind those that are there.
    #[cfg(feature = "alloc")]
    pub(crate) fn add_before_start(
        &mut self,
        step: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) {
        self.activate();
        let boxed = match self.before_start.take() {
            None => try_box(step).map(|step| step as BeforeStart).ok(),
            Some(earlier) => try_box(move || {
                earlier()?;
                step()
            })
            .map(|step| step as BeforeStart)
            .ok(),
        };
        self.before_start = boxed;
        if self.before_start.is_none() {
            self.refuse();
        }
    }

    /// Whether there is nothing to do before the closure.
    pub(in crate::thread) fn is_empty(&self) -> bool {
        self.vtable.is_none()
    }

    /// Finds what can be known to fail.
    ///
    /// # Errors
    /// `InvalidInput`; `Limit`, if there was no memory to keep an action.
    pub(in crate::thread) fn check(&self) -> Result<(), Error> {
        self.vtable.map_or(Ok(()), |vtable| (vtable.check)(self))
    }

    fn check_all(&self) -> Result<(), Error> {
        self.affinity.as_ref().map_or(Ok(()), |cpus| cpus.check())
    }
}

/// One thread's actions and their outcome, on the spawner's stack.
///
/// | word | meaning | which thread may touch actions and error |
/// |---|---|---|
/// | `PENDING` | the thread makes the settings | thread |
/// | `READY` | all are in force; the closure runs | spawner |
/// | `FAILED` | one failed; the thread exits without the closure | spawner |
///
/// `READY` or `FAILED` is the thread's answer ([`answer`]), and its last touch: the spawner sees the error.
pub(crate) struct StartupHandshake<'a> {
    word: AtomicU32,
    actions: UnsafeCell<&'a mut StartupActions>,
    error: UnsafeCell<Option<Error>>,
    vtable: &'static StartupVTable,
}

const PENDING: u32 = 0;
const READY: u32 = 1;
const FAILED: u32 = 2;

static UNSHARE: Operation = Operation {
    name: "unshare",
    purpose: "give the thread a directory or descriptors of its own",
    hint: |_| "See unshare(2) for this errno; an emulator or a sandbox may refuse the call.",
};

#[cfg(feature = "alloc")]
static BEFORE_START: Operation = Operation {
    name: "before_start",
    purpose: "prepare the thread, for it panicked",
    hint: |_| "The panic's message says why.",
};

impl<'a> StartupHandshake<'a> {
    /// A handshake for these actions, if there are any.
    pub(crate) fn new(actions: &'a mut StartupActions) -> Option<Self> {
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
    /// `startup` is the handshake of the spawner, which sleeps in [`StartupHandshake::wait`]; called
    /// once.
    pub(crate) unsafe fn run_in_child(
        startup: *const StartupHandshake<'static>,
        mask: Option<SigSet>,
    ) -> bool {
        // SAFETY: the spawner waits; passed on.
        unsafe { ((*startup).vtable.run_in_child)(startup, mask) }
    }

    /// Spawner: sleeps until the report.
    ///
    /// # Errors
    /// The setting that failed.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        (self.vtable.wait)(self)
    }
}

/// # Safety
/// As [`StartupHandshake::run_in_child`].
unsafe fn run_in_child(startup: *const StartupHandshake<'static>, mask: Option<SigSet>) -> bool {
    // SAFETY: PENDING: the actions are this thread's.
    let outcome = apply(unsafe { &mut *(*startup).actions.get() }, mask);
    let (word, ready) = match outcome {
        Ok(()) => (READY, true),
        Err(error) => {
            // SAFETY: PENDING: the error is this thread's to write.
            unsafe { *(*startup).error.get() = Some(error) };
            (FAILED, false)
        }
    };
    // SAFETY: the spawner waits, so the word is there until the answer.
    unsafe { answer::give(&raw const (*startup).word, word, Sharing::Private) };
    ready
}

fn wait(startup: &StartupHandshake<'_>) -> Result<(), Error> {
    if answer::wait(&startup.word, PENDING, Sharing::Private) == READY {
        return Ok(());
    }
    // SAFETY: FAILED: the error is the spawner's.
    let error = unsafe { (*startup.error.get()).take() };
    Err(error.unwrap_or(Error::from_raw_os_error(libc::EINVAL)))
}

/// Makes the settings in the order in which later ones may depend on earlier ones.
fn apply(actions: &mut StartupActions, mask: Option<SigSet>) -> Result<(), Error> {
    if !actions.unshared.is_empty() {
        task::unshare(actions.unshared.bits())
            .map_err(|errno| Error::from_operation(&UNSHARE, errno))?;
    }
    if let Some(cpus) = &actions.affinity {
        sched::set_affinity(0, cpus.words())
            .map_err(|errno| Error::from_operation(&SET_AFFINITY, errno))?;
    }
    if actions.scheduling.size != 0 {
        sched::set_attributes(0, &actions.scheduling)
            .map_err(|errno| Error::from_operation(&SET_SCHEDULING, errno))?;
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    match actions.before_start.take() {
        Some(before_start) => run_before_start(before_start),
        None => Ok(()),
    }
}

#[cfg(feature = "alloc")]
fn run_before_start(before_start: BeforeStart) -> Result<(), Error> {
    unwind::catch(before_start).map_err(|panic| {
        // A payload whose drop panics, too: what that leaves is forgotten.
        let _ = unwind::catch(move || {
            let _dropped = panic;
        })
        .map_err(core::mem::forget);
        Error::from_operation(&BEFORE_START, Errno::new(libc::ECANCELED))
    })?
}

#[cfg(not(feature = "alloc"))]
fn run_before_start(before_start: BeforeStart) -> Result<(), Error> {
    match before_start {}
}
