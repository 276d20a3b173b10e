//! Questions about what is shared: descriptors, directories, handlers, and the stack.
#![allow(unsafe_code, reason = "children by clone, and looks at this process")]

use rawthread::flags::CloneFlags;

use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, spawn_child};
use crate::syscall::{self, Action};

pub(super) fn close(log: &mut ExperimentLog) {
    for (flags, name) in [
        (CloneFlags::FILES, "with CLONE_FILES"),
        (CloneFlags::empty(), "without CLONE_FILES"),
    ] {
        let (fd, _) = support::pipe();
        let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
            support::close(fd).map_or(1, |_| 0)
        }) else {
            return;
        };
        let closed = made.wait().is_ok_and(|end| end.success());
        // SAFETY: asks about a number.
        let open = unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
        let state = if open { "still open" } else { "closed" };
        log.check(
            closed && open != flags.contains(CloneFlags::FILES),
            format!("{name}: the child's close({fd}) succeeded, and here {fd} is {state}"),
        );
    }
}

fn here() -> String {
    std::env::current_dir().map_or_else(|_| "?".into(), |path| path.display().to_string())
}

pub(super) fn directory(log: &mut ExperimentLog) {
    if let Err(error) = std::env::set_current_dir("/proc") {
        return log.skip(error);
    }
    let go = || std::env::set_current_dir("/").map(|()| here());
    for (name, builder, expected) in [
        (
            "by private_cwd",
            rawthread::Builder::new().private_cwd(),
            "/proc",
        ),
        ("as usual", rawthread::Builder::new(), "/"),
    ] {
        let moved = builder.spawn(go).map(rawthread::JoinHandle::join);
        match moved {
            Ok(Ok(Ok(there))) => log.check(
                there == "/" && here() == expected,
                format!(
                    "a thread made {name} went to {there}; its maker is in {}",
                    here()
                ),
            ),
            Ok(_) => log.check(false, "the thread could not change its directory"),
            Err(error) => log.check(false, error),
        }
    }
}

pub(super) fn handlers(log: &mut ExperimentLog) {
    let ignore = Action {
        handler: libc::SIG_IGN,
        ..Action::default()
    };
    for (flags, name) in [
        (CloneFlags::VM, "without CLONE_SIGHAND"),
        (CloneFlags::VM | CloneFlags::SIGHAND, "with CLONE_SIGHAND"),
    ] {
        let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
            // SAFETY: SIG_IGN is no function.
            unsafe { syscall::sigaction(libc::SIGUSR1, Some(&ignore)) }.map_or(1, |_| 0)
        }) else {
            return;
        };
        let set = made.wait().is_ok_and(|end| end.success());
        // SAFETY: asks only.
        let here = unsafe { syscall::sigaction(libc::SIGUSR1, None) }.unwrap_or_default();
        let ignored = here.handler == libc::SIG_IGN;
        let word = if ignored { "is ignored" } else { "kills" };
        log.check(
            set && ignored == flags.contains(CloneFlags::SIGHAND),
            format!("{name}: the child ignores SIGUSR1, and here it {word}"),
        );
    }
    let Ok(before) = syscall::set_mask(0) else {
        return log.skip("the signal mask cannot be set");
    };
    let _ = syscall::set_mask(before);
    let flags = CloneFlags::VM | CloneFlags::SIGHAND;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, || {
        // Its own mask: everything that can be blocked.
        syscall::set_mask(!0).map_or(1, |_| 0)
    }) else {
        return;
    };
    let set = made.wait().is_ok_and(|end| end.success());
    let after = syscall::set_mask(before).unwrap_or(!0);
    log.check(
        set && after == before,
        format!(
            "with CLONE_SIGHAND: the child blocked all signals; the mask here was {before:#x} and is {after:#x}"
        ),
    );
    let thread = rawthread::spawn(|| syscall::set_mask(!0).is_ok()).join();
    let after = syscall::set_mask(before).unwrap_or(!0);
    log.check(
        thread.is_ok_and(|set| set) && after == before,
        format!("a thread blocked all signals; the mask here is still {after:#x}"),
    );
}

/// Bytes of the stack that the experiment gives.
const STACK: usize = 64 * 1024;

/// Where a local variable of a function that was called lies.
#[inline(never)]
fn deeper() -> usize {
    let local = 0u8;
    std::hint::black_box(&raw const local) as usize
}

extern "C" fn measure(fd: *mut libc::c_void) -> i32 {
    let local = 0u8;
    let here = std::hint::black_box(&raw const local) as usize;
    // The two differ by less than 2 GiB; the low halves say it all.
    support::send(fd as i32, here as i32);
    support::send(fd as i32, deeper() as i32);
    0
}

/// What `clone` with this stack pointer leads to: the wait status of a child with its own memory.
fn clone_on(stack: usize, fd: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the child has a copy of this memory: whatever it does to its stack stays its own.
    unsafe {
        let argument = fd as usize as *mut libc::c_void;
        let pid = libc::clone(measure, stack as *mut libc::c_void, libc::SIGCHLD, argument);
        libc::waitpid(pid, &mut status, 0);
    }
    status
}

pub(super) fn stack(log: &mut ExperimentLog) {
    // SAFETY: a new mapping; its lower half may not be touched, and no core is to be written.
    let low = unsafe {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        let all = libc::mmap(
            std::ptr::null_mut(),
            2 * STACK,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        let low = all as usize + STACK;
        libc::mprotect(
            low as *mut libc::c_void,
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
        );
        low
    };
    let high = low + STACK;
    let (reader, writer) = support::pipe();
    let status = clone_on(high, writer);
    let (Some(outer), Some(inner)) = (support::receive(reader), support::receive(reader)) else {
        return log.check(false, "the child on its new stack said nothing");
    };
    let below = |address: i32| (high as i32).wrapping_sub(address);
    log.check(
        status == 0 && below(outer) > 0 && below(outer) < STACK as i32,
        format!(
            "given the upper end: the child's variable lies {} bytes below it",
            below(outer)
        ),
    );
    log.check(
        below(inner) > below(outer),
        format!(
            "a function that it calls has its own {} bytes below",
            below(inner)
        ),
    );
    // In a fork: libc's clone() itself writes below the address that it is given.
    let Some(mut made) = spawn_child(log, CloneFlags::empty(), SIGCHLD, move || {
        clone_on(low, writer)
    }) else {
        return;
    };
    let killed = made
        .wait()
        .is_ok_and(|end| end.signal() == Some(libc::SIGSEGV));
    let end = if killed {
        "SIGSEGV, as what lies below is no part of it"
    } else {
        "no harm"
    };
    log.check(killed, format!("given the lower end: {end}"));
}
