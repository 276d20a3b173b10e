//! The ways of making a task: the maker's part.
#![allow(unsafe_code, reason = "makes tasks by every set of flags")]

use std::sync::atomic::Ordering;

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Child, Fork, fork};

use super::child::child_main;
use super::fixture::Fixture;
use super::plan::{Plan, Refusal, SpawnMethod};
use crate::syscall;

/// How a child ended: its wait status, or why its maker cannot know.
pub(super) type ExitInfo = Result<i32, &'static str>;

const A_THREAD: ExitInfo = Err("a thread leaves no exit status");
const NO_ZOMBIE: ExitInfo = Err("it left no zombie: its end made its maker ignore SIGCHLD");
const A_SIBLING: ExitInfo = Err("its status is for the maker's parent");

/// Makes the child that the plan asks for, blocks until the observer has seen everything, and returns
/// how the child ended.
pub(super) fn spawn(fixture: &'static Fixture) -> Result<ExitInfo, Refusal> {
    match fixture.plan.method {
        SpawnMethod::Fork => by_fork(fixture),
        SpawnMethod::Process => by_builder(fixture),
        SpawnMethod::Clone => by_clone(fixture),
        SpawnMethod::PosixThread => {
            let thread = std::thread::Builder::new().spawn(move || child_main(fixture))?;
            block_until_observed(fixture);
            thread
                .join()
                .map_err(|_| Refusal::new("the thread panicked"))?;
            Ok(A_THREAD)
        }
        SpawnMethod::Library => {
            let thread = rawthread::Builder::new().spawn(move || child_main(fixture))?;
            block_until_observed(fixture);
            thread
                .join()
                .map_err(|_| Refusal::new("the thread panicked"))?;
            Ok(A_THREAD)
        }
    }
}

/// The maker is back from the call, and stays until the observer is done in one system call
/// that does not fail, because the child may use the maker's thread pointer.
fn block_until_observed(fixture: &Fixture) {
    fixture.maker_returned.store(true, Ordering::Release);
    while syscall::read_byte(fixture.finished.0).is_err() {}
}

fn reap(mut child: Child, plan: Plan) -> Result<ExitInfo, Refusal> {
    if plan.flags.contains(CloneFlags::PARENT) {
        // The maker's sibling: not the maker's to wait for.
        drop(child);
        return Ok(A_SIBLING);
    }
    if plan.leaves_no_zombie() {
        drop(child);
        return Ok(NO_ZOMBIE);
    }
    let status = child.wait()?;
    Ok(Ok(status.into_raw()))
}

fn by_fork(fixture: &'static Fixture) -> Result<ExitInfo, Refusal> {
    // SAFETY: the child calls `child_main`, which keeps to raw system calls, and ends.
    match unsafe { fork() }? {
        Fork::Child => {
            let status = child_main(fixture);
            // SAFETY: ends the process without the maker's exit handlers.
            unsafe { libc::_exit(status) }
        }
        Fork::Parent(child) => {
            block_until_observed(fixture);
            reap(child, fixture.plan)
        }
    }
}

fn by_builder(fixture: &'static Fixture) -> Result<ExitInfo, Refusal> {
    let plan = fixture.plan;
    let builder = Builder::new()
        .flags(plan.flags)
        .own_tls(false)
        .exit_signal(plan.exit_signal)
        .pidfd(plan.flags.contains(CloneFlags::PIDFD));
    // SAFETY: `child_main` makes raw system calls and touches memory that lives as long as the process;
    // signals are blocked; the maker stays in `block_until_observed` while the child uses its thread
    // pointer.
    let child = unsafe { builder.spawn(move || child_main(fixture)) }?;
    block_until_observed(fixture);
    reap(child, plan)
}

/// Bytes of stack for a task of `by_clone`.
const STACK: usize = 256 * 1024;
/// Bytes of thread-local storage on either side of the thread pointer: more than any libc's.
const TLS: usize = 64 * 1024;

/// Zeroed memory that is never given back: the process ends after one experiment.
fn map(bytes: usize) -> Result<usize, Refusal> {
    // SAFETY: a new private mapping.
    let mapping = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if mapping == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(mapping as usize)
}

extern "C" fn enter(fixture: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the address of a fixture that lives as long as the process.
    let status = child_main(unsafe { &*fixture.cast::<Fixture>() });
    syscall::exit(status)
}

/// A task without the help of any runtime, by libc's `clone()`.
///
/// With `SETTLS` it gets a thread pointer of its own: zeroed storage whose first word points to
/// itself, which is all that `errno` needs. Without it, it uses the maker's, and the maker stays in one system call.
fn by_clone(fixture: &'static Fixture) -> Result<ExitInfo, Refusal> {
    let plan = fixture.plan;
    if !plan.flags.fits_legacy() {
        let why = "a thread of these flags is beyond the lab: only clone3 has bits for them";
        return Err(Refusal::new(why));
    }
    let stack_top = map(STACK)? + STACK;
    let thread_pointer = map(2 * TLS)? + TLS;
    // SAFETY: inside the new mapping, aligned to a page; x86-64's ABI finds the thread control
    // block through its first word.
    unsafe { (thread_pointer as *mut usize).write(thread_pointer) };
    let words = map(64)?;
    let word = plan.flags.bits() as i32 | plan.exit_signal as i32;
    // SAFETY: a fresh stack aligned to a page; `child_main` keeps to raw system calls on whatever the
    // flags share; the words and the thread pointer live as long as the process; signals are
    // blocked, and the maker stays in `block_until_observed`.
    let tid = unsafe {
        libc::clone(
            enter,
            stack_top as *mut libc::c_void,
            word,
            std::ptr::from_ref(fixture).cast_mut().cast(),
            words as *mut libc::pid_t,
            thread_pointer as *mut libc::c_void,
            (words + 32) as *mut libc::pid_t,
        )
    };
    if tid == -1 {
        return Err(std::io::Error::last_os_error().into());
    }
    block_until_observed(fixture);
    if plan.flags.contains(CloneFlags::THREAD) {
        return Ok(A_THREAD);
    }
    if plan.flags.contains(CloneFlags::PARENT) {
        return Ok(A_SIBLING);
    }
    if plan.leaves_no_zombie() {
        return Ok(NO_ZOMBIE);
    }
    let mut status = 0;
    // SAFETY: the kernel writes one number.
    match unsafe { libc::waitpid(tid, &mut status, libc::__WALL) } {
        -1 => Err(std::io::Error::last_os_error().into()),
        _ => Ok(Ok(status)),
    }
}
