//! What every build of the crate has, as a library uses it that wants to work with each.

use core::num::NonZero;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use rawthread::{Builder, Error, ErrorKind, JoinHandle, JoinSet, Panicked, Pidfd, Scope};

/// A spawn whose error is the crate's own.
pub fn spawn(stack: usize) -> Result<JoinHandle<usize>, Error> {
    let builder: Builder = Builder::new().name_str("worker").stack_size(stack);
    let refused: Result<JoinHandle<()>, Error> = Builder::new().try_spawn(|| ());
    match refused {
        Err(error) if error.kind() == ErrorKind::Limit => return Err(error),
        Err(error) => return Err(error),
        Ok(thread) => drop(thread),
    }
    builder.try_spawn(move || stack)
}

/// A name that does not live for ever.
pub fn named(name: &str) -> Result<(), Error> {
    let thread: JoinHandle<()> = Builder::new().name_str(name).try_spawn(|| ())?;
    drop(thread);
    Ok(())
}

/// Scoped threads.
pub fn scoped<'scope>(s: &'scope Scope<'scope, '_>, number: &'scope mut u32) -> Result<(), Error> {
    let handle = Builder::new().try_spawn_scoped(s, move || *number += 1)?;
    finished(handle.join());
    Ok(())
}

/// A thread that borrows.
pub fn unchecked(number: &u32) -> Result<u32, Error> {
    // SAFETY: the thread is joined before `number` can end.
    let handle: JoinHandle<u32> = unsafe { Builder::new().try_spawn_unchecked(|| *number + 1)? };
    Ok(value_or(handle.join(), 0))
}

/// A descriptor.
pub fn descriptor(handle: &JoinHandle<usize>) -> Result<i32, Error> {
    let descriptor: Pidfd = handle.open_pidfd()?;
    Ok(descriptor.raw_fd())
}

/// Joins, with and without a limit: code that does not name the type of the error.
pub fn join(handle: JoinHandle<usize>) -> usize {
    match handle.join_timeout(Duration::from_secs(1)) {
        Ok(joined) => value_or(joined, 0),
        Err(handle) => value_or(handle.join(), 1),
    }
}

/// Sets and pooled threads.
pub fn several() -> Result<u32, Error> {
    let mut set = JoinSet::new();
    let _: rawthread::Thread = set.spawn_with(Builder::new().name_str("member"), || 1)?;
    let task: JoinHandle<u32> = rawthread::warm::try_spawn(|| 2)?;
    let joined: rawthread::Result<u32> = task.join();
    Ok(value_or(joined, 0) + set.join_next().map_or(0, |joined| value_or(joined, 0)))
}

/// The number of threads to make.
pub fn parallelism() -> Result<NonZero<usize>, Error> {
    rawthread::try_available_parallelism()
}

/// The error of a join in builds without std, which exists in all.
pub fn panicked(error: &Panicked) -> Panicked {
    *error
}

fn value_or<T, E>(joined: Result<T, E>, default: T) -> T {
    joined.unwrap_or(default)
}

fn finished<T, E>(joined: Result<T, E>) {
    drop(joined);
}

// An automatic trait of a type is lost by a field that a feature adds.
const fn is_shareable<T: Send + Sync>() {}
const _: () = is_shareable::<JoinHandle<usize>>();
const _: () = is_shareable::<JoinSet<usize>>();
const fn is_unwind_safe<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
const _: () = is_unwind_safe::<Error>();
const _: () = is_unwind_safe::<Builder>();
const _: () = is_unwind_safe::<Pidfd>();
const _: () = is_unwind_safe::<Panicked>();
