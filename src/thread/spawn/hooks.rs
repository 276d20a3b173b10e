//! Spawn hooks: what a thread does for each thread that it spawns, and has the new thread do. With
//! the feature `alloc`; `no_hooks` is the twin without.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::iter;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::diagnosis;
use crate::error::Error;
use crate::primitive::fallible::try_box;
use crate::runtime::record::ThreadRef;
use crate::runtime::{Rt, Runtime};
use crate::sys::Errno;
use crate::thread::current::Thread;
use crate::thread::local::Local;
use crate::thread::spawn::unwind;

type ChildStep = Box<dyn FnOnce() + Send>;

/// `None`: no memory for the step.
type RunHook = Box<dyn Fn(&Thread) -> Option<ChildStep> + Send + Sync>;

/// One hook, and those that were added before it. Threads share the tails of their lists.
struct Hook {
    run: RunHook,
    older: HookList,
}

#[derive(Clone, Default)]
struct HookList(Option<Arc<Hook>>);

impl Drop for HookList {
    /// Not by recursion, which a long list would let overflow the stack.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut hook) = next.and_then(Arc::into_inner) {
            next = hook.older.0.take();
        }
    }
}

/// The calling thread's hooks.
static HOOKS: Local<Cell<HookList>> = Local::new(|| Cell::new(HookList(None)));

/// Whether any thread ever added a hook: without, a spawn reads this alone. Relaxed: a thread that
/// has hooks stored it, or was spawned after the store.
static EXIST: AtomicBool = AtomicBool::new(false);

/// Adds a hook, which [`spawn`](fn@crate::spawn) and its kin run for each thread that the calling
/// thread spawns from now on.
///
/// The hook runs in the spawning thread, before the new thread exists, with the handle that it will
/// have. What the hook returns runs in the new thread, before its closure. So context can follow a
/// spawn: a request id, a tracing span, a locale.
///
/// The hook is the calling thread's, and is inherited by the threads that it spawns from now on;
/// threads that run already do not have it. The hook that was added last runs first. Hooks cannot be
/// removed; a thread made with [`Builder::no_hooks`](crate::Builder::no_hooks) runs and inherits none.
/// So what must hold for memory safety may not depend on a hook. A hook that spawns a thread uses
/// `no_hooks`, for it would be called again by that.
///
/// Hooks apply to everything of this crate that spawns threads for the program, and not to the thread that
/// reaps a dropped `process::Child`: [`spawn`](fn@crate::spawn),
/// [`Builder`](crate::Builder), [`scope`](fn@crate::scope), [`JoinSet`](crate::JoinSet) and
/// [`warm`](mod@crate::warm). They follow the steps of
/// [`Builder::before_start`](crate::Builder::before_start). `std::thread::spawn` does not know them: it
/// has its own `std::thread::add_spawn_hook`, which is not stable.
///
/// A thread's hooks are a [`local!`](crate::local!): in destructors that run after theirs, a spawn runs
/// none, and adding one does nothing; nightly std's panics there. Without memory for the hook the process
/// ends, as with `Box::new`. Feature `alloc`.
///
/// # Panics
/// Without memory for the first hook of the thread. A spawn is an error if there is no memory for what a
/// hook returned. A panic of the hook itself leaves the spawn,
/// whose closure is dropped, and no thread is made; a panic of what it returned is the new thread's, as
/// one of its closure, which does not run.
///
/// ```
/// use std::cell::Cell;
///
/// thread_local!(static REQUEST: Cell<u64> = const { Cell::new(0) });
///
/// // Once, in the thread from which the others come:
/// rawthread::add_spawn_hook(|_| {
///     let request = REQUEST.get(); // in the spawner
///     move || REQUEST.set(request) // in the new thread
/// });
///
/// REQUEST.set(4711);
/// let worker = rawthread::spawn(|| (REQUEST.get(), rawthread::spawn(|| REQUEST.get()).join().unwrap()));
/// assert_eq!(worker.join().unwrap(), (4711, 4711));
/// ```
pub fn add_spawn_hook<F, G>(hook: F)
where
    F: Fn(&Thread) -> G + Send + Sync + 'static,
    G: FnOnce() + Send + 'static,
{
    // All memory is there before the list is taken.
    let mut new = Arc::new(Hook {
        run: Box::new(move |thread| try_box(hook(thread)).ok().map(|step| step as ChildStep)),
        older: HookList(None),
    });
    // Where the hooks are destroyed already no spawn of the thread runs any: there is no use for another.
    let _ = HOOKS.try_with(|hooks| {
        if let Some(new) = Arc::get_mut(&mut new) {
            new.older = hooks.take();
        }
        hooks.set(HookList(Some(new)));
    });
    EXIST.store(true, Ordering::Relaxed);
}

/// Whether a new thread runs and inherits its spawner's hooks.
#[derive(Clone, Copy)]
pub(in crate::thread) enum HookChoice {
    Inherit,
    Leave,
}

/// What a new thread inherits and runs.
pub(in crate::thread) struct ChildHooks(Option<Box<Inherited>>);

struct Inherited {
    hooks: HookList,
    steps: Vec<ChildStep>,
}

impl ChildHooks {
    /// For a thread without hooks.
    pub(in crate::thread) const NONE: Self = Self(None);

    /// Whether [`ChildHooks::run`] may run code of the program's.
    pub(in crate::thread) fn may_run() -> bool {
        EXIST.load(Ordering::Relaxed)
    }

    /// Spawner: runs its hooks, if they are asked for, for a new thread with this record. It has counted
    /// and taken nothing for the thread yet: a hook may panic, and may fork.
    ///
    /// # Errors
    /// ENOMEM; or of [`Runtime::ensure_init`], in a process that a hook forked.
    pub(in crate::thread) fn run(choice: HookChoice, new: &ThreadRef) -> Result<Self, Error> {
        match choice {
            HookChoice::Inherit if EXIST.load(Ordering::Relaxed) => {
                let hooks = Self::run_all(new)?;
                Rt::ensure_init()?;
                Ok(hooks)
            }
            HookChoice::Inherit | HookChoice::Leave => Ok(Self::NONE),
        }
    }

    #[cold]
    fn run_all(new: &ThreadRef) -> Result<Self, Error> {
        // A hook may add hooks: it runs on a list that was taken before.
        let taken = HOOKS.try_with(|hooks| {
            let list = hooks.take();
            hooks.set(list.clone());
            list
        });
        let hooks = match taken {
            Ok(hooks) if hooks.0.is_some() => hooks,
            _ => return Ok(Self::NONE),
        };
        let thread = Thread::from_record(new.clone());
        let all = || iter::successors(hooks.0.as_deref(), |hook| hook.older.0.as_deref());
        let count = all().count();
        let no_memory = || diagnosis::map_error(Errno::ENOMEM, count * size_of::<ChildStep>());
        let mut steps = Vec::new();
        steps.try_reserve_exact(count).map_err(|_| no_memory())?;
        for hook in all() {
            steps.push((hook.run)(&thread).ok_or_else(no_memory)?);
        }
        match try_box(Inherited { hooks, steps }) {
            Ok(inherited) => Ok(Self(Some(inherited))),
            Err(_) => Err(no_memory()),
        }
    }

    /// The closure that the new thread runs.
    pub(in crate::thread) fn before<T>(self, closure: impl FnOnce() -> T) -> impl FnOnce() -> T {
        move || {
            if let Some(inherited) = self.0 {
                inherited.run_in_child();
            }
            unwind::call(closure)
        }
    }
}

impl Inherited {
    #[cold]
    fn run_in_child(self) {
        let Self { hooks, steps } = self;
        HOOKS.set(hooks);
        for step in steps {
            step();
        }
    }
}
