//! Questions about the stack of a child that shares memory: vfork's, and one from malloc.
#![allow(
    unsafe_code,
    reason = "children on stacks that the experiment breaks on purpose"
)]

use std::sync::atomic::{AtomicI32, Ordering};

use rawthread::flags::CloneFlags;

use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, in_a_fork, spawn_child};
use crate::syscall;

/// The process in which the exit handler ran.
static EXITED: AtomicI32 = AtomicI32::new(0);

extern "C" fn exit_handler() {
    EXITED.store(syscall::getpid(), Ordering::Release);
}

pub(super) fn vfork_return(log: &mut ExperimentLog) {
    let flags = CloneFlags::VM | CloneFlags::VFORK;
    let mut frame = [1u64; 8];
    let address = frame.as_mut_ptr() as usize;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
        for index in 0..8 {
            // SAFETY: the maker is suspended, so `frame` is there and in no other use.
            unsafe { (address as *mut u64).add(index).write_volatile(2) };
        }
        0
    }) else {
        return;
    };
    let _ = made.wait();
    // SAFETY: as above; the child is gone.
    let seen = unsafe { (address as *const u64).read_volatile() };
    log.check(
        seen == 2,
        "the child wrote into a stack frame of the suspended caller, and the caller finds that there: \
         a child that returns from that frame, and calls another function, overwrites it so",
    );

    let (reader, writer) = support::pipe();
    for (name, by_exit) in [("exit", true), ("_exit", false)] {
        let code = in_a_fork(|| {
            // SAFETY: the handler makes a raw call and a store.
            unsafe { libc::atexit(exit_handler) };
            let builder = rawthread::process::Builder::new()
                .flags(flags)
                .own_tls(false);
            // SAFETY: the caller is suspended meanwhile, and afterwards runs neither exit handlers
            // nor stdio, which the child's `exit` leaves used up.
            let made = unsafe {
                builder.spawn(move || {
                    if by_exit {
                        libc::exit(0);
                    }
                    libc::_exit(0);
                })
            };
            let Ok(mut child) = made else {
                return 1;
            };
            let pid = child.pid();
            let _ = child.wait();
            let ran_in = EXITED.load(Ordering::Acquire);
            support::send(writer, i32::from(ran_in == pid));
            0
        });
        let ran = support::receive_if(code == 0, reader);
        log.check(
            ran == Some(i32::from(by_exit)),
            format!(
                "the child ends by {name}(): it has {} exit handlers that its caller registered for itself",
                if ran == Some(1) { "run the" } else { "left alone the" }
            ),
        );
    }
}

/// Bytes of a stack here.
const STACK: usize = 64 * 1024;
/// What the neighbour of the stack holds.
const NEIGHBOUR: u8 = 0xaa;

/// Uses about 1 KiB of stack for each level, and writes to all of it.
#[inline(never)]
fn dig(levels: usize) -> usize {
    let mut frame = [0x55u8; 1024];
    let frame = std::hint::black_box(&mut frame);
    if levels == 0 {
        return frame[0].into();
    }
    dig(levels - 1) + usize::from(frame[1023])
}

extern "C" fn dig_deep(levels: *mut libc::c_void) -> i32 {
    std::hint::black_box(dig(levels as usize));
    0
}

extern "C" fn wait_then_return(fd: *mut libc::c_void) -> i32 {
    let _ = syscall::read_byte(fd as i32);
    0
}

/// A child that shares memory and runs `f(argument)` on the stack that ends at `top`; its pid.
///
/// # Safety
/// The stack is not needed by others, or this process is for that.
unsafe fn clone_on(top: usize, f: extern "C" fn(*mut libc::c_void) -> i32, argument: usize) -> i32 {
    // SAFETY: the caller's; the functions above make raw calls alone, so they write no errno while
    // this thread does.
    unsafe {
        libc::clone(
            f,
            top as *mut libc::c_void,
            libc::CLONE_VM | libc::SIGCHLD,
            argument as *mut libc::c_void,
        )
    }
}

/// The signal that ended a child, or 0.
fn signal_of(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one number.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    if libc::WIFSIGNALED(status) {
        libc::WTERMSIG(status)
    } else {
        0
    }
}

pub(super) fn malloc_stack(log: &mut ExperimentLog) {
    support::no_core();
    // SAFETY: the default action is no function. Otherwise std's handler would run.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // One block: its lower half stands for what malloc has put below the stack.
    // SAFETY: two halves of a block of this function's own, which is not freed.
    let (signal, changed) = unsafe {
        let block = libc::malloc(2 * STACK).cast::<u8>();
        if block.is_null() {
            return log.skip("no memory");
        }
        block.write_bytes(NEIGHBOUR, STACK);
        let top = (block as usize + 2 * STACK) & !63;
        let signal = signal_of(clone_on(top, dig_deep, 80));
        let changed = (0..STACK)
            .filter(|&index| block.add(index).read_volatile() != NEIGHBOUR)
            .count();
        (signal, changed)
    };
    log.check(
        signal == 0 && changed > 0,
        format!(
            "80 KiB used of a stack of 64 KiB from malloc: no signal, and {changed} bytes of the neighbour are overwritten"
        ),
    );
    // SAFETY: a mapping of this function's own, with a page that may not be touched in its middle.
    let signal = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let block = libc::mmap(std::ptr::null_mut(), 2 * STACK, access, kind, -1, 0);
        libc::mprotect(block.byte_add(STACK - 4096), 4096, libc::PROT_NONE);
        signal_of(clone_on(block as usize + 2 * STACK, dig_deep, 80))
    };
    log.check(
        signal == libc::SIGSEGV,
        format!("the same with a guard page below the stack: signal {signal} (SIGSEGV is 11)"),
    );

    // More than 32 MiB: malloc maps such a block on its own, and free unmaps it.
    const LARGE: usize = 33 << 20;
    let (reader, writer) = support::pipe();
    // SAFETY: the block is freed while the child needs it, on purpose: the child dies of it, alone,
    // for nothing else is mapped there before it does.
    let (signal, early) = unsafe {
        let block = libc::malloc(LARGE);
        if block.is_null() {
            return log.skip("no memory");
        }
        let child = clone_on(
            (block as usize + LARGE) & !63,
            wait_then_return,
            reader as usize,
        );
        super::lifecycle::await_state(child, 'S');
        libc::free(block);
        let early = super::lifecycle::state(child) == 'S';
        let _ = syscall::write_byte(writer);
        (signal_of(child), early)
    };
    log.check(
        early && signal == libc::SIGSEGV,
        format!(
            "a stack freed while its child sleeps: at its next step the child gets signal {signal}"
        ),
    );
}
