//! The ways of making a task: the maker's part.
#![allow(unsafe_code, reason = "makes tasks by every set of flags")]

use std::sync::atomic::Ordering;

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Child, Fork, fork};

use super::act::act;
use super::scene::Scene;
use super::{Plan, Refusal, Way};
use crate::raw;

/// How a child ended: its wait status, or why its maker cannot know.
pub(super) type End = Result<i32, &'static str>;

const A_THREAD: End = Err("a thread leaves no exit status");
const NO_ZOMBIE: End = Err("it left no zombie: its end made its maker ignore SIGCHLD");
const A_SIBLING: End = Err("its status is for the maker's parent");

/// Makes the child that the plan asks for, stays until the watcher has seen everything, and says
/// how the child ended.
pub(super) fn make(scene: &'static Scene) -> Result<End, Refusal> {
    match scene.plan.way {
        Way::Fork => by_fork(scene),
        Way::Process => by_builder(scene),
        Way::Clone => by_clone(scene),
        Way::PosixThread => {
            let thread = std::thread::Builder::new().spawn(move || act(scene))?;
            stay(scene);
            thread
                .join()
                .map_err(|_| Refusal::new("the thread panicked"))?;
            Ok(A_THREAD)
        }
        Way::Library => {
            let thread = rawthread::Builder::new().spawn(move || act(scene))?;
            stay(scene);
            thread
                .join()
                .map_err(|_| Refusal::new("the thread panicked"))?;
            Ok(A_THREAD)
        }
    }
}

/// The maker is back from the call, and sits still until the watcher is done: in one system call
/// that does not fail, because the child may stand on the maker's thread pointer.
fn stay(scene: &Scene) {
    scene.maker_returned.store(true, Ordering::Release);
    while raw::read_byte(scene.finished.0).is_err() {}
}

fn reap(mut child: Child, plan: Plan) -> Result<End, Refusal> {
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

fn by_fork(scene: &'static Scene) -> Result<End, Refusal> {
    // SAFETY: the child calls `act`, which keeps to raw system calls, and ends.
    match unsafe { fork() }? {
        Fork::Child => {
            let status = act(scene);
            // SAFETY: ends the process without the maker's exit handlers.
            unsafe { libc::_exit(status) }
        }
        Fork::Parent(child) => {
            stay(scene);
            reap(child, scene.plan)
        }
    }
}

fn by_builder(scene: &'static Scene) -> Result<End, Refusal> {
    let plan = scene.plan;
    let builder = Builder::new()
        .flags(plan.flags)
        .own_tls(false)
        .exit_signal(plan.exit_signal)
        .pidfd(plan.flags.contains(CloneFlags::PIDFD));
    // SAFETY: `act` makes raw system calls and touches memory that lives as long as the process;
    // signals are blocked; the maker sits still in `stay` while the child stands on its thread
    // pointer.
    let child = unsafe { builder.spawn(move || act(scene)) }?;
    stay(scene);
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

extern "C" fn enter(scene: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the address of a scene that lives as long as the process.
    let status = act(unsafe { &*scene.cast::<Scene>() });
    raw::exit(status)
}

/// A task without the help of any runtime, by libc's `clone()`.
///
/// With `SETTLS` it gets a thread pointer of its own: zeroed storage whose first word points to
/// itself, which is all that `errno` needs. Without it, it stands on the maker's, who sits still.
fn by_clone(scene: &'static Scene) -> Result<End, Refusal> {
    let plan = scene.plan;
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
    // SAFETY: a fresh stack aligned to a page; `act` keeps to raw system calls on whatever the
    // flags share; the words and the thread pointer live as long as the process; signals are
    // blocked, and the maker sits still in `stay`.
    let tid = unsafe {
        libc::clone(
            enter,
            stack_top as *mut libc::c_void,
            word,
            std::ptr::from_ref(scene).cast_mut().cast(),
            words as *mut libc::pid_t,
            thread_pointer as *mut libc::c_void,
            (words + 32) as *mut libc::pid_t,
        )
    };
    if tid == -1 {
        return Err(std::io::Error::last_os_error().into());
    }
    stay(scene);
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
