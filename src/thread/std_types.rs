//! What bears the name of an item of `std::thread` and returns an error: here it has std's type.
//! The items that return [`Error`](crate::Error) are there in every build.
#![allow(unsafe_code, reason = "offers an unchecked spawn")]

use core::num::NonZero;
use std::io;

use super::builder::Builder;
use super::join::handle::JoinHandle;
use super::scope::{Scope, ScopedJoinHandle};
use super::warm;

/// With the feature `std`: the methods of `std::thread::Builder` that spawn.
///
/// Their errors are what the `try_` methods return, as an [`io::Error`]. It has the kind that std's
/// has (`WouldBlock` at a limit, memory included), prints the text of the
/// [`Error`](crate::Error) and holds it: [`Error::from_io`](crate::Error::from_io) finds it.
impl Builder {
    /// Spawns a thread that runs `f`, and returns its handle. Feature `std`.
    ///
    /// As `std::thread::Builder::spawn`, with its type; [`try_spawn`](Builder::try_spawn) does the
    /// same, is there in every build, and returns an [`Error`](crate::Error).
    ///
    /// The thread may outlive its spawner, for which reason closure and result are `'static`;
    /// [`spawn_scoped`](Builder::spawn_scoped) spawns a thread that may borrow. It is detached when the
    /// handle is dropped. See [`spawn`](fn@crate::spawn).
    ///
    /// # Errors
    /// As [`try_spawn`](Builder::try_spawn): `WouldBlock` at every limit, `InvalidInput` for sizes that
    /// no address space holds, `Unsupported` where the process's libc cannot be served. The process
    /// goes on, and the closure is dropped.
    ///
    /// # Panics
    /// If the name contains a NUL byte, as `std::thread::Builder::spawn`.
    ///
    /// ```
    /// use rawthread::{Builder, Error, JoinHandle};
    /// use std::io;
    ///
    /// fn workers() -> io::Result<Vec<JoinHandle<usize>>> {
    ///     (0..4).map(|n| Builder::new().name(format!("worker {n}")).spawn(move || n)).collect()
    /// }
    /// for (n, worker) in workers()?.into_iter().enumerate() {
    ///     assert_eq!(worker.join().unwrap(), n);
    /// }
    ///
    /// let error = Builder::new().stack_size(usize::MAX).spawn(|| ()).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    /// assert_eq!(Error::from_io(&error).unwrap().raw_os_error(), Some(libc::EINVAL));
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.try_spawn(f)?)
    }

    /// Spawns a thread whose closure and result may borrow, and returns its handle. Feature `std`.
    ///
    /// As `std::thread::Builder::spawn_unchecked`, with its type;
    /// [`try_spawn_unchecked`](Builder::try_spawn_unchecked) does the same in every build. Prefer
    /// [`spawn_scoped`](Builder::spawn_scoped), where the compiler checks the contract.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    ///
    /// # Safety
    /// That of [`try_spawn_unchecked`](Builder::try_spawn_unchecked).
    ///
    /// ```
    /// let number = 7;
    /// // SAFETY: the thread is joined before `number` is dropped.
    /// let thread = unsafe { rawthread::Builder::new().spawn_unchecked(|| number + 1)? };
    /// assert_eq!(thread.join().unwrap(), 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // SAFETY: passed on.
        Ok(unsafe { self.try_spawn_unchecked(f) }?)
    }

    /// Spawns a thread of a [`scope`](fn@crate::scope), which may borrow what outlives the scope, and
    /// returns its handle. Feature `std`.
    ///
    /// As `std::thread::Builder::spawn_scoped`, with its type;
    /// [`try_spawn_scoped`](Builder::try_spawn_scoped) does the same in every build.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    ///
    /// ```
    /// let mut count = 0;
    /// rawthread::scope(|s| {
    ///     rawthread::Builder::new().name("counter".into()).spawn_scoped(s, || count += 1)?;
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// assert_eq!(count, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Ok(self.try_spawn_scoped(scope, f)?)
    }
}

/// With the feature `std`: spawns with the shape of [`Builder`]'s.
impl warm::Builder {
    /// Runs `f` as a task, and returns its handle. Feature `std`.
    ///
    /// [`try_spawn`](warm::Builder::try_spawn) does the same in every build.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    ///
    /// ```
    /// let task = rawthread::warm::Builder::new().name("sum".into()).spawn(|| 1 + 2)?;
    /// assert_eq!(task.join().unwrap(), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.try_spawn(f)?)
    }

    /// Runs `f` as a task of a scope, which may borrow what outlives the scope, and returns its handle.
    /// Feature `std`.
    ///
    /// [`try_spawn_scoped`](warm::Builder::try_spawn_scoped) does the same in every build.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// let len = rawthread::warm::scope(|s| {
    ///     let task = rawthread::warm::Builder::new().spawn_scoped(s, || text.len())?;
    ///     Ok::<_, std::io::Error>(task.join().unwrap())
    /// })?;
    /// assert_eq!(len, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Ok(self.try_spawn_scoped(scope, f)?)
    }
}

/// Returns how many threads can run at once: the processors that the calling thread may use, or less
/// under the processor quota of a control group. Feature `std`.
///
/// [`try_available_parallelism`](crate::try_available_parallelism) gives the same answer in every
/// build.
///
/// # Errors
/// As `std::thread::available_parallelism`, which it is.
///
/// ```
/// println!("{} threads at once", rawthread::available_parallelism()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    std::thread::available_parallelism()
}
