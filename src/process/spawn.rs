//! Spawning the child of a [`Builder`].
#![allow(unsafe_code, reason = "makes a process by hand")]

use core::mem::ManuallyDrop;

use super::builder::{Builder, MAX_SET_TID};
use super::by_number::ByNumber;
use super::child::Child;
use super::child_entry::{self, Launch, Start};
use super::child_stack::ChildStack;
use super::clone_error;
use super::start_pipe::StartPipe;
use super::start_report::Report;
use super::steps::Steps;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, arch, clone};

/// What the parent does while the child waits, with the child's pid.
type Hook<'a> = Option<&'a mut dyn FnMut(i32) -> Result<(), Error>>;

/// The closure of a child in the frame of the call, dropped there unless a child has taken it. It does
/// not move: a closure may fill much of the stack.
struct Captured<F> {
    f: ManuallyDrop<F>,
    taken: bool,
}

impl<F> Captured<F> {
    fn new(f: F) -> Self {
        Self {
            f: ManuallyDrop::new(f),
            taken: false,
        }
    }

    fn as_ptr(&self) -> *const F {
        &raw const *self.f
    }
}

impl<F> Drop for Captured<F> {
    fn drop(&mut self) {
        if !self.taken {
            // SAFETY: as `new` got it; not used after this.
            unsafe { ManuallyDrop::drop(&mut self.f) };
        }
    }
}

/// A child that may wait for its parent. Dropped, as by an error or a panic of the hook, it ends
/// without taking its closure.
struct HeldChild<F: FnOnce() -> i32> {
    start_pipe: Option<StartPipe>,
    report: Option<Report>,
    launch: Option<Launch<F>>,
    child: Option<Child>,
}

impl<F: FnOnce() -> i32> HeldChild<F> {
    fn release(&mut self, steps: &Steps) -> Result<Child, Error> {
        let start_pipe = self.start_pipe.take();
        if let Some(start_pipe) = &start_pipe {
            start_pipe.release();
        }
        if let (Some(report), Some(child)) = (self.report.take(), &self.child) {
            // An error drops this: the child has ended, or is about to.
            report.wait(child, steps)?;
        }
        // The child has read it.
        drop(start_pipe);
        match (self.child.take(), self.launch.take()) {
            (Some(child), Some(launch)) => Ok(child.with_stack(launch.into_stack())),
            _ => unreachable!("released once"),
        }
    }
}

impl<F: FnOnce() -> i32> Drop for HeldChild<F> {
    fn drop(&mut self) {
        // Closed after the child has ended, with the other fields.
        if let Some(start_pipe) = &self.start_pipe {
            start_pipe.abort();
        }
        if let (Some(child), Some(launch)) = (self.child.take(), self.launch.take()) {
            // The stack goes with the handle: that knows whether the child can still be on it.
            let mut child = child.with_stack(launch.into_stack());
            let _ = child.wait();
        }
    }
}

impl Builder {
    /// Makes the process; its exit code is what `f` returns (the low 8 bits), 101 if `f` panics.
    ///
    /// The child ends by `exit_group`: no destructor of the caller's frames runs in it, nothing
    /// that stdio buffered is written twice.
    ///
    /// Without `VM`, `f` exists twice after the call, like all memory: the child runs its copy, the
    /// parent drops its own before `spawn` returns. With `VM`, the child alone has it.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) for a set of flags that no kernel takes, a limit, or
    /// the step that failed. `f` is dropped then and no child is left.
    ///
    /// # Safety
    /// Without `VM` the contract is that of [`fork`](super::fork()), without libc's help:
    /// if the process may have other threads, `f` calls only async-signal-safe functions
    /// (`signal-safety(7)`) and does not allocate.
    ///
    /// With `VM`, `f` runs at the same time as everything else in this process, though its pid is
    /// another. It must be sound to send there, and must not borrow what may end before the child
    /// does (its end is when [`Child::wait`] returns). With its own thread control block it may then do what a
    /// thread may: allocate, lock, use thread-locals and `errno`, print, panic. What it must not
    /// do is act for the process that it is not: `exit` (which runs this process's handlers),
    /// making or joining threads, changing ids through libc, and using a descriptor by an object
    /// of the other process's (without `FILES` its table is another). If it is killed while
    /// it holds a lock of the shared memory, the lock stays locked.
    /// If it is killed, or becomes another program, the destructors of its thread-locals do not run, and what
    /// these own is lost; its stack and its thread control block go back when it was waited for. So is what it had
    /// allocated: a closure that ends in a successful `Command::exec` leaves about 1 KiB in this process's heap, of a short command.
    ///
    /// With `VM` but without one it uses the thread pointer of the calling thread: it
    /// must not touch thread-locals, `errno`, the allocator, stdio or locks of a libc or of std,
    /// nor panic. That leaves computing, shared memory by atomics, and raw system calls; with
    /// `VFORK`, as the calling thread sleeps, also async-signal-safe functions of libc. A signal
    /// handler of the program may run in such a child: block signals around the call, or take
    /// `CLEAR_SIGHAND`.
    ///
    /// `Command` does all this safely for the case that ends in `execve`.
    ///
    /// What becomes of an `OwnedFd` that `f` captures depends on whether there are two closures, and two tables of
    /// descriptors:
    ///
    /// | | without `FILES`: the child has a table of its own | `FILES`: both use one table |
    /// |---|---|---|
    /// | without `VM`: each process has a closure | each closes its own copy | both close the same number, the second perhaps a descriptor that was opened meanwhile: do not capture one |
    /// | `VM`: the child alone has the closure | the child closes its copy, and this process's stays open: it leaks | the child closes it |
    ///
    /// `spawn_with_fds` gives descriptors to the child alone in all four cases.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| 256 + 9) }?;
    /// assert_eq!(child.wait()?.code(), Some(9));
    /// # Ok(())
    /// # }
    /// ```
    pub unsafe fn spawn<F>(&self, f: F) -> Result<Child, Error>
    where
        F: FnOnce() -> i32,
    {
        let mut captured = Captured::new(f);
        // SAFETY: passed on.
        let made = unsafe { self.spawn_inner(None, captured.as_ptr()) };
        captured.taken = made.is_ok() && self.flags.contains(CloneFlags::VM);
        made
    }

    /// As [`spawn`](Self::spawn), and runs `hook` in this process while the child waits, with the
    /// child's pid: for what must be done to a process from outside before it begins, such as moving a
    /// network device into its namespace. Id maps are written before that.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn); that of `hook`: then the child has ended without running `f`.
    ///
    /// # Safety
    /// That of [`spawn`](Self::spawn).
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// let mut pid = 0;
    /// let hook = |child| {
    ///     pid = child;
    ///     Ok(())
    /// };
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn_with_hook(hook, || 3) }?;
    /// assert_eq!(child.pid(), pid);
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    pub unsafe fn spawn_with_hook<F, H>(&self, mut hook: H, f: F) -> Result<Child, Error>
    where
        F: FnOnce() -> i32,
        H: FnMut(i32) -> Result<(), Error>,
    {
        let mut captured = Captured::new(f);
        // SAFETY: passed on.
        let made = unsafe { self.spawn_inner(Some(&mut hook), captured.as_ptr()) };
        captured.taken = made.is_ok() && self.flags.contains(CloneFlags::VM);
        made
    }

    /// As [`spawn`](Self::spawn), and gives `fds` to the child alone: whatever the flags share, the closure
    /// owns them, and this process's table does not keep them. Feature `std`.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn); the descriptors are closed then.
    ///
    /// # Safety
    /// That of [`spawn`](Self::spawn), but for these descriptors.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// use rawthread::flags::CloneFlags;
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// let (reader, writer) = std::io::pipe().unwrap();
    /// let builder = rawthread::process::Builder::new().flags(CloneFlags::VM);
    /// // SAFETY: the child has a thread control block, and shares nothing that it changes.
    /// let mut child = unsafe {
    ///     builder.spawn_with_fds([writer.into()], |[writer]| {
    ///         let sent = std::fs::File::from(writer).write_all(b"hello");
    ///         i32::from(sent.is_err())
    ///     })
    /// }?;
    /// // The child had the only writing end: the text ends.
    /// assert_eq!(std::io::read_to_string(reader).unwrap(), "hello");
    /// assert!(child.wait()?.success());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "std")]
    pub unsafe fn spawn_with_fds<const N: usize, F>(
        &self,
        fds: [std::os::fd::OwnedFd; N],
        f: F,
    ) -> Result<Child, Error>
    where
        F: FnOnce([std::os::fd::OwnedFd; N]) -> i32,
    {
        // No drop of the closure closes them: which table it would close them in is decided below.
        let fds = fds.map(OwnedFd::from);
        let numbers = fds.each_ref().map(OwnedFd::as_raw);
        let given = ManuallyDrop::new(fds);
        let with_fds = move || f(ManuallyDrop::into_inner(given).map(std::os::fd::OwnedFd::from));
        // SAFETY: passed on.
        let made = unsafe { self.spawn(with_fds) };
        if made.is_err() || !self.flags.contains(CloneFlags::FILES) {
            for number in numbers {
                // SAFETY: of two tables, this process's; of one, no child has taken them.
                drop(unsafe { OwnedFd::from_raw(number) });
            }
        }
        made
    }

    /// # Safety
    /// That of [`spawn`](Self::spawn); `f` points to a closure, which is the child's after success
    /// with `VM`.
    unsafe fn spawn_inner<F>(&self, mut hook: Hook<'_>, f: *const F) -> Result<Child, Error>
    where
        F: FnOnce() -> i32,
    {
        let waits = !self.maps.is_empty() || hook.is_some();
        let flags = self.checked_flags(waits)?;
        let cgroup = match &self.cgroup {
            Some(cgroup) => cgroup.number()?,
            None => 0,
        };
        let start_pipe = if waits {
            Some(StartPipe::new(flags)?)
        } else {
            None
        };
        self.steps.check(flags)?;
        let report = match waits || !self.steps.is_empty() {
            true => Some(Report::new()?),
            false => None,
        };
        let own_memory = !flags.contains(CloneFlags::VM);
        let start = Start {
            pipe: start_pipe.as_ref().map(StartPipe::child_side),
            report: report
                .as_ref()
                .map(|report| report.child_side(&self.steps, own_memory)),
        };
        let mut launch = if flags.contains(CloneFlags::VM) {
            let size = self
                .stack_size
                .saturating_add(child_entry::args_size::<F>());
            let stack = ChildStack::new(size, self.own_tls, self.steps.guard_memory())?;
            // SAFETY: passed on.
            unsafe { Launch::own_stack(f, start, stack) }?
        } else {
            Launch::fork(f, start)
        };
        let (mut pidfd, mut tid) = (-1i32, 0u32);
        let mut request = self.request(flags, cgroup);
        request.pidfd = &raw mut pidfd as usize;
        request.parent_tid = &raw mut tid as usize;
        launch.fill_clone_args(&mut request);
        let mut by_number = None;
        let made = loop {
            // Legacy clone takes one of these two words for the other.
            if request.flags & CloneFlags::PIDFD.bits() == 0 {
                request.pidfd = 0;
                by_number = Some(ByNumber::take());
            }
            if request.flags & CloneFlags::PARENT_SETTID.bits() == 0 {
                request.parent_tid = 0;
            }
            // SAFETY: the caller's contract for `f`; `launch` completed the request.
            match unsafe { launch.clone(&request) } {
                // An old kernel, a sandbox or an emulator that knows no pidfd, or no descriptor
                // left for one: it was not asked for, so it is not missed.
                Err(
                    Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EMFILE | Errno::ENFILE,
                ) if self.pidfd.is_none() && request.pidfd != 0 => {
                    request.flags &= !CloneFlags::PIDFD.bits();
                }
                other => break other,
            }
        };
        let pid = match made {
            Ok(pid) => pid,
            Err(errno) => {
                drop(launch);
                let attempt = clone_error::CloneAttempt {
                    flags,
                    exit_signal: self.exit_signal_for(flags),
                    set_tid: self.tid_count > 0,
                };
                return Err(clone_error::clone_failed(attempt, errno));
            }
        };
        // SAFETY: clone stored the number of a descriptor that it made for this caller.
        let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw(pidfd) });
        let mut child = Child::new(pid, pidfd, by_number);
        if flags.contains(CloneFlags::PARENT) {
            child = child.not_our_child();
        }
        let mut held = HeldChild {
            start_pipe,
            report,
            launch: Some(launch),
            child: Some(child),
        };
        self.maps.write(pid)?;
        if let Some(hook) = &mut hook {
            hook(pid)?;
        }
        held.release(&self.steps)
    }

    /// What to ask of clone, but for the places that `spawn` has.
    fn request(&self, flags: CloneFlags, cgroup: i32) -> clone::CloneArgs {
        clone::CloneArgs {
            flags: flags.bits(),
            exit_signal: self.exit_signal_for(flags).into(),
            set_tid: if self.tid_count == 0 {
                0
            } else {
                self.tids.as_ptr() as usize
            },
            set_tid_size: self.tid_count,
            cgroup: cgroup as u64,
            tls: if flags.contains(CloneFlags::SETTLS) {
                arch::thread_pointer() as usize
            } else {
                0
            },
            ..clone::CloneArgs::default()
        }
    }

    fn exit_signal_for(&self, flags: CloneFlags) -> u32 {
        self.exit_signal
            .unwrap_or(if flags.contains(CloneFlags::PARENT) {
                0
            } else {
                libc::SIGCHLD as u32
            })
    }

    /// The flags to ask for, if they can be asked for here.
    fn checked_flags(&self, waits: bool) -> Result<CloneFlags, Error> {
        let mut flags = self.flags | self.namespaces.flags();
        if flags.contains(CloneFlags::THREAD) {
            return Err(Error::refused(
                "CLONE_THREAD makes a thread of this process, not a process",
                "Use rawthread::Builder for threads, or leave CLONE_THREAD out.",
                Errno::EINVAL,
            ));
        }
        if flags.contains(CloneFlags::VFORK) && waits {
            return Err(Error::refused(
                "with CLONE_VFORK the parent sleeps: it can neither write the child's id maps nor run a hook",
                "Leave CLONE_VFORK out.",
                Errno::EINVAL,
            ));
        }
        self.maps.check(flags)?;
        if self.tid_count > MAX_SET_TID {
            return Err(Error::refused(
                "set_tid names more than 32 nested pid namespaces",
                "Give one id for each namespace, the innermost first.",
                Errno::EINVAL,
            ));
        }
        if self.cgroup.is_some() {
            flags |= CloneFlags::INTO_CGROUP;
        }
        flags.set(
            CloneFlags::PIDFD,
            self.pidfd.unwrap_or(true) || flags.contains(CloneFlags::PIDFD),
        );
        Ok(flags)
    }
}
