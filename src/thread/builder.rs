//! Configures and spawns a thread.
#![allow(unsafe_code, reason = "offers an unchecked spawn")]

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::signals::SignalSet;
use super::spawn::config::{Options, Retry};
use super::spawn::hooks::HookChoice;
use super::spawn::setup::StartupActions;
use super::spawn::{caller_stack, prepare};
#[cfg(feature = "alloc")]
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::runtime::Name;
use crate::stack::{cache, layout};
#[cfg(feature = "alloc")]
use crate::sys::Errno;

/// Configures and spawns a thread: its name, its stack, its attributes, and what to do at a limit.
///
/// Has the methods of `std::thread::Builder` and more. Each method takes and returns the builder.
/// [`try_spawn`](Builder::try_spawn) makes the thread and returns a [`JoinHandle`], or an
/// [`Error`](crate::Error) that names the limit or rule that refused it. With the feature `std`,
/// `Builder::spawn` does the same with std's type of error, an `io::Error` that holds the
/// other. The free function [`spawn`](fn@crate::spawn) has the defaults and panics instead.
///
/// ```
/// let thread = rawthread::Builder::new()
///     .name("worker".into())
///     .stack_size(256 * 1024)
///     .spawn(|| rawthread::current().name().map(str::len))?;
/// assert_eq!(thread.join().unwrap(), Some(6));
/// # Ok::<(), rawthread::Error>(())
/// ```
#[must_use = "a builder makes a thread only when `spawn` is called"]
pub struct Builder {
    name: Option<BuilderName>,
    stack_size: Option<usize>,
    guard_size: Option<usize>,
    retry: Retry,
    pub(super) stack: Option<(usize, usize)>,
    pub(super) flags: CloneFlags,
    pub(super) cgroup: i32,
    pub(super) refusal: Option<&'static Operation>,
    pub(super) mask: Option<SignalSet>,
    pub(super) actions: StartupActions,
    pub(super) hooks: HookChoice,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name.as_ref().and_then(BuilderName::as_str))
            .field("stack_size", &self.stack_size)
            .field("guard_size", &self.guard_size)
            .finish_non_exhaustive()
    }
}

// SAFETY: std's is; the function of `before_start` is called by value only, so a shared builder
// gives no access to it.
unsafe impl Sync for Builder {}
// std's is; what unwinding finds of a builder is dropped whole.
impl UnwindSafe for Builder {}
impl RefUnwindSafe for Builder {}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Creates the configuration of a thread without a name, with the default stack and guard:
    /// 2 MiB (with std `RUST_MIN_STACK`, if it is set) and one page.
    ///
    /// ```
    /// let builder = rawthread::Builder::new();
    /// assert_eq!(builder.spawn(|| 1 + 1)?.join().unwrap(), 2);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn new() -> Self {
        Self {
            name: None,
            stack_size: None,
            guard_size: None,
            retry: Retry::NEVER,
            stack: None,
            flags: CloneFlags::empty(),
            cgroup: 0,
            refusal: None,
            mask: None,
            actions: StartupActions::none(),
            hooks: HookChoice::Inherit,
        }
    }

    /// Names the thread. Feature `alloc`; [`name_str`](Builder::name_str) is there in every build.
    ///
    /// [`Thread::name`](super::Thread::name) returns the whole name; the kernel keeps the first 15
    /// bytes (`/proc/self/task/TID/comm`, `prctl(2)` PR_SET_NAME). The name must not contain a NUL
    /// byte: the spawn panics then, as std's does.
    ///
    /// It takes a `String` as std's does, and not any type that converts to one: the target of the
    /// usual `"io".into()` would then be ambiguous.
    ///
    /// std's panic message says `<unnamed>` and the thread's id: std offers no way to name a thread
    /// that it did not make, and a library cannot put a panic hook in front of the program's without
    /// losing one that is set at that moment. A program that wants names in panic messages sets a
    /// hook before it has threads:
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// let standard = std::panic::take_hook();
    /// std::panic::set_hook(Box::new(move |info| {
    ///     if let Some(name) = rawthread::current().name() {
    ///         eprintln!("in thread '{name}':");
    ///     }
    ///     standard(info);
    /// }));
    /// # }
    /// ```
    ///
    /// ```
    /// let thread = rawthread::Builder::new().name("io".into()).spawn(rawthread::current)?;
    /// assert_eq!(thread.join().unwrap().name(), Some("io"));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[cfg(feature = "alloc")]
    pub fn name(mut self, name: alloc::string::String) -> Self {
        self.name = Some(BuilderName::Kept(Name::from_string(name)));
        self
    }

    /// Names the thread, as `name` does, of which std's `Builder` has only the form that takes a
    /// `String`. The builder keeps a copy.
    ///
    /// Without the feature `alloc` a name has at most 63 bytes, and the spawn refuses a longer one as
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput). The name must not contain a NUL byte: the
    /// spawn panics then.
    ///
    /// ```
    /// let thread = rawthread::Builder::new().name_str("io").try_spawn(rawthread::current)?;
    /// assert_eq!(thread.join().unwrap().name(), Some("io"));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn name_str(mut self, name: &str) -> Self {
        let kept = Name::new(name).map(BuilderName::Kept);
        self.name = Some(kept.unwrap_or(BuilderName::Refused(name.len())));
        self
    }

    /// Sets the least size of the thread's stack, in bytes.
    ///
    /// All of it is for the thread's frames; the thread control block and thread-locals come on top.
    /// The default is 2 MiB, or with std the environment variable `RUST_MIN_STACK`, as
    /// `std::thread`'s. Memory is taken from the system as it is touched (`mmap(2)`).
    ///
    /// ```
    /// let thread = rawthread::Builder::new().stack_size(16 << 20).spawn(|| {
    ///     let large = std::hint::black_box([0u8; 8 << 20]);
    ///     large.len()
    /// })?;
    /// assert_eq!(thread.join().unwrap(), 8 << 20);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "pthread_attr_setstacksize")]
    pub const fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the least size of the guard below the stack, in bytes: memory that faults when touched.
    ///
    /// Rounded up to a power of two of pages. The default is one page, and so is the least: 0 asks
    /// for one page too, unlike in `pthread_attr_setguardsize(3)`, for without a guard a recursion in
    /// safe code would write into the stack of another thread.
    ///
    /// A frame larger than the guard can step over it where code is compiled without stack
    /// probes; Rust's own code has them.
    ///
    /// ```
    /// let thread = rawthread::Builder::new().guard_size(64 * 1024).spawn(|| ())?;
    /// thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "pthread_attr_setguardsize")]
    pub const fn guard_size(mut self, bytes: usize) -> Self {
        self.guard_size = Some(bytes);
        self
    }

    /// Sets whether and how to try again when the kernel reports EAGAIN (`clone(2)`), which it does
    /// at limits that the ends of other threads may lift. The default is [`Retry::NEVER`].
    ///
    /// ```
    /// use rawthread::Retry;
    /// use std::time::Duration;
    ///
    /// let patient = Retry::times(5, Duration::from_millis(2));
    /// rawthread::Builder::new().retry(patient).spawn(|| ())?.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Spawns a thread that runs `f`, and returns its handle.
    ///
    /// The thread may outlive its spawner, for which reason closure and result are `'static`;
    /// [`try_spawn_scoped`](Builder::try_spawn_scoped) spawns a thread that may borrow. It is detached
    /// when the handle is dropped. See [`spawn`](fn@crate::spawn).
    ///
    /// This method is there in every build. With the feature `std`, `Builder::spawn` does the
    /// same and has the type of std's.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) at every limit, named with its value: the
    /// process goes on, and the closure is dropped.
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for sizes that no address space
    /// holds. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the process's libc
    /// cannot be served. EAGAIN in the child of a fork that a signal handler made amid the call; in the
    /// few instructions before clone(2), where no step can tell, the child has a thread that its handles take
    /// for one of the parent's. Once this has returned `Ok` the thread cannot fail to start.
    ///
    /// # Panics
    /// If the name contains a NUL byte, as `std::thread::Builder::spawn`.
    ///
    /// ```
    /// use rawthread::{Builder, ErrorKind};
    ///
    /// let greeting = String::from("hello");
    /// let thread = Builder::new().try_spawn(move || greeting.len())?;
    /// assert_eq!(thread.join().unwrap(), 5);
    ///
    /// let error = Builder::new().stack_size(usize::MAX).try_spawn(|| ()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "pthread_create")]
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: 'static outlives every thread.
        unsafe { self.try_spawn_unchecked(f) }
    }

    /// Spawns a thread whose closure and result may borrow, and returns its handle.
    ///
    /// As `std::thread::Builder::spawn_unchecked`, in every build. Prefer
    /// [`try_spawn_scoped`](Builder::try_spawn_scoped), where the compiler checks the contract.
    ///
    /// # Errors
    /// As [`Builder::try_spawn`].
    ///
    /// # Panics
    /// As [`Builder::try_spawn`].
    ///
    /// # Safety
    /// What the closure and its result borrow must outlive both the thread (until it is joined,
    /// its thread-local destructors included) and the result. With the feature `panic-thread`, a
    /// thread that panicked is one that never ends, joined or not: nothing in its frames was
    /// dropped, and other threads may go on to use what it lent to them.
    ///
    /// ```
    /// let number = 7;
    /// // SAFETY: the thread is joined before `number` is dropped.
    /// let thread = unsafe { rawthread::Builder::new().try_spawn_unchecked(|| number + 1)? };
    /// assert_eq!(thread.join().unwrap(), 8);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub unsafe fn try_spawn_unchecked<F, T>(mut self, f: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let options = self.options()?;
        // SAFETY: passed on.
        let spawned = unsafe { prepare::spawn(options, f)? };
        Ok(JoinHandle::new(spawned))
    }

    /// Whether a worker of the pool can give all of this to one of its tasks, and have it back.
    pub(super) fn is_poolable(&self) -> bool {
        // A new field does not compile here until this is decided for it.
        let Self {
            name: _,
            stack_size,
            guard_size,
            retry: _,
            stack,
            flags,
            // Without its flag a control group is none.
            cgroup: _,
            refusal: _,
            mask: _,
            actions,
            hooks: _,
        } = self;
        stack_size.is_none()
            && guard_size.is_none()
            && stack.is_none()
            && flags.is_empty()
            && actions.is_empty()
    }

    pub(super) fn options(&mut self) -> Result<Options<'_>, Error> {
        self.actions.check()?;
        if let Some((low, len)) = self.stack
            && (low == 0 || len < 4096 || low.checked_add(len).is_none())
        {
            return Err(Error::invalid_input(
                "the memory given as a stack is null, below 4096 bytes, or wraps around",
                "Give at least 16 KiB.",
            ));
        }
        if self.stack.is_some() {
            caller_stack::ensure_supported()?;
        }
        let name = match self.name.take() {
            None => Name::NONE,
            Some(name) => name.checked()?,
        };
        Ok(Options {
            name,
            stack_size: match self.stack {
                // The slot then holds the TCB and the packet alone.
                Some(_) => 0,
                None => self.stack_size.unwrap_or_else(default_stack_size),
            },
            guard_size: self.guard_size.unwrap_or_else(cache::default_guard),
            retry: self.retry,
            stack: self.stack,
            flags: self.flags,
            cgroup: self.cgroup,
            refusal: self.refusal,
            mask: self.mask.map(SignalSet::kernel),
            actions: &mut self.actions,
            observer: ExitObserver::None,
            hooks: self.hooks,
        })
    }
}

/// The name that a builder was given.
enum BuilderName {
    Kept(Name),
    /// More than a build without an allocator keeps.
    /// So many bytes that there is no place for them.
    Refused(usize),
}

impl BuilderName {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Kept(name) => name.as_str(),
            Self::Refused(_) => None,
        }
    }

    /// The name for a thread. Panics if it contains a NUL byte.
    fn checked(self) -> Result<Name, Error> {
        match self {
            Self::Kept(name) => {
                assert!(
                    !name
                        .as_str()
                        .is_some_and(|name| name.as_bytes().contains(&0)),
                    "a thread name may not contain NUL bytes"
                );
                Ok(name)
            }
            Self::Refused(bytes) => Err(name_error(bytes)),
        }
    }
}

/// The error for a name of so many bytes, for which the allocator had no memory.
#[cfg(feature = "alloc")]
fn name_error(bytes: usize) -> Error {
    diagnosis::map_error(Errno::ENOMEM, bytes)
}

#[cfg(not(feature = "alloc"))]
fn name_error(_bytes: usize) -> Error {
    Error::invalid_input(
        "a thread name has more than 63 bytes and there is no allocator",
        "Use a shorter name, or the feature `alloc`.",
    )
}

/// `RUST_MIN_STACK` if it is a number, else 2 MiB; read once, as std does.
#[cfg(feature = "std")]
pub(super) fn default_stack_size() -> usize {
    use core::sync::atomic::{AtomicUsize, Ordering};
    /// The size plus 1; 0 while unknown. Not a cell that waits for another thread, which a forked
    /// child may not have. Relaxed: every thread finds the same value.
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    if let Some(size) = SIZE.load(Ordering::Relaxed).checked_sub(1) {
        return size;
    }
    let size = std::env::var_os("RUST_MIN_STACK")
        .and_then(|value| value.to_str()?.parse().ok())
        .unwrap_or(layout::DEFAULT_STACK);
    SIZE.store(size.saturating_add(1), Ordering::Relaxed);
    size
}

#[cfg(not(feature = "std"))]
pub(super) fn default_stack_size() -> usize {
    layout::DEFAULT_STACK
}

/// Spawns a thread that runs `f`, and returns its [`JoinHandle`].
///
/// The thread is detached when the handle is dropped: it runs on, and its result is dropped when it
/// ends. [`JoinHandle::join`] waits for it and returns the result.
///
/// The bounds are those of `std::thread::spawn`. `'static`: the thread may run for as long as the
/// process, so it must own what it uses; threads of a [`scope`](fn@crate::scope) may borrow. `Send`:
/// the closure passes from this thread to the new one, and the result back.
///
/// A panic in `f` unwinds and ends the thread; the join returns its payload. Without the feature
/// `std` nothing unwinds, and a panic ends the process, or with the feature `panic-thread` the thread
/// alone. All threads end with the process: when `main` returns, or `exit` is called, a thread that
/// still runs is stopped where it is, without a destructor.
///
/// The new thread inherits the signal mask, CPU affinity, scheduling and floating-point environment
/// of its spawner (`clone(2)`). Use [`Builder`] to give it a name, another stack size or attributes
/// of its own, and to handle errors.
///
/// # Panics
/// Where [`Builder::try_spawn`] returns an error, as `std::thread::spawn`.
///
/// # Examples
///
/// ```
/// let thread = rawthread::spawn(|| 6 * 7);
/// assert_eq!(thread.join().unwrap(), 42);
/// ```
///
/// A thread that reports by a channel, and is detached:
///
/// ```
/// use std::sync::mpsc;
///
/// let (sender, receiver) = mpsc::channel();
/// rawthread::spawn(move || sender.send("hello").unwrap());
/// assert_eq!(receiver.recv().unwrap(), "hello");
/// ```
#[doc(alias("pthread_create", "newosproc", "clone"))]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Builder::new().try_spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn thread: {error}"),
    }
}
