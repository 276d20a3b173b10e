//! What the child does: it records what it inherited, then tries to change everything.
//!
//! Runs in every kind of task, so it keeps to the rules of `syscall`: system calls alone, no memory from
//! the heap, no panic, no thread-local but the address of `errno`.
#![allow(unsafe_code, reason = "raw system calls")]

use super::fixture::{
    CHILD_IO_PRIORITY, CHILD_OFFSET, CHILD_UMASK, ChildField, FROM_CHILD, Fixture, cpu_time, raise,
};
use crate::syscall::{self, Action};

/// The exit status of a child that did not become another program.
pub(crate) const STATUS: i32 = 23;
/// The command by which the lab, as another program, answers that it runs.
pub(crate) const EXEC_EXIT: &str = "exec-exit";
/// The exit status of that program.
pub(crate) const EXEC_STATUS: i32 = 42;
/// The longest the child waits for permission to go on, in milliseconds: a lost child ends by itself.
const TIMEOUT_MS: usize = 20_000;

/// Plays the child and returns its exit status.
pub(crate) fn child_main(fixture: &Fixture) -> i32 {
    let fields = fixture.fields;
    // First: the child has used next to no CPU time yet.
    fields.set(ChildField::CpuClock, cpu_time());
    fields.record_own_link();
    record_inherited(fixture);
    record_registrations(fixture);
    mutate_all(fixture);
    sync_with_observer(fixture);
    if fixture.plan.root {
        // SAFETY: the path ends in NUL. A task's root is its own to change, where it may.
        let answer = unsafe {
            syscall::syscall(
                libc::SYS_chroot,
                [c"/proc".as_ptr() as usize, 0, 0, 0, 0, 0],
            )
        };
        fields.set_answer(ChildField::Root, answer);
        sync_with_observer(fixture);
    }
    if fixture.plan.exec {
        exec_self(fixture);
    }
    STATUS
}

/// What a new task starts with; before anything is changed.
fn record_inherited(fixture: &Fixture) {
    let fields = fixture.fields;
    // Filling the mask is a change too, but one call reads the old and sets the new.
    fields.set(ChildField::Mask, syscall::set_mask(!0).unwrap_or(0) as i64);
    // SAFETY: asks only.
    let handler = unsafe { syscall::sigaction(fixture.handler_signal, None) };
    fields.set_answer(ChildField::Handler, handler.map(|action| action.handler));
    // SAFETY: computes an address from the thread pointer.
    fields.set(ChildField::Errno, unsafe { libc::__errno_location() }
        as i64);

    let mut pending = 0u64;
    // SAFETY: the kernel writes 8 bytes.
    let asked = unsafe {
        syscall::syscall(
            libc::SYS_rt_sigpending,
            [(&raw mut pending) as usize, 8, 0, 0, 0, 0],
        )
    };
    fields.set_answer(ChildField::Pending, asked.map(|_| pending as usize));

    // SAFETY: `stack_t` is plain data.
    let mut alternate: libc::stack_t = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel writes one `stack_t`.
    let asked = unsafe {
        syscall::syscall(
            libc::SYS_sigaltstack,
            [0, (&raw mut alternate) as usize, 0, 0, 0, 0],
        )
    };
    fields.set_answer(
        ChildField::AlternateStack,
        asked.map(|_| alternate.ss_flags as usize),
    );
}

/// What the kernel keeps for a task: no system call of the child's has set any of it.
fn record_registrations(fixture: &Fixture) {
    let fields = fixture.fields;
    // Each of the calls writes one word, or less, at the address it is given.
    let ask = |field, number, mut args: [usize; 6], place: usize| {
        let mut word = 0usize;
        args[place] = (&raw mut word) as usize;
        // SAFETY: `word` has room for what is written.
        let asked = unsafe { syscall::syscall(number, args) };
        fields.set_answer(field, asked.map(|_| word));
    };
    let mut length = 0usize;
    let length = (&raw mut length) as usize;
    let robust = [0, 0, length, 0, 0, 0];
    ask(ChildField::RobustList, libc::SYS_get_robust_list, robust, 1);
    const PR_GET_TID_ADDRESS: usize = 40;
    let word = [PR_GET_TID_ADDRESS, 0, 0, 0, 0, 0];
    ask(ChildField::ClearedWord, libc::SYS_prctl, word, 1);
    let death = [libc::PR_GET_PDEATHSIG as usize, 0, 0, 0, 0, 0];
    ask(ChildField::DeathSignal, libc::SYS_prctl, death, 1);

    // Interval and value, each of seconds and microseconds.
    let mut timer = [0usize; 4];
    // SAFETY: the kernel writes four words; timer 0 is the one of real time.
    let asked = unsafe {
        syscall::syscall(
            libc::SYS_getitimer,
            [0, (&raw mut timer) as usize, 0, 0, 0, 0],
        )
    };
    fields.set_answer(ChildField::Timer, asked.map(|_| timer[2]));

    let timer = [fixture.posix_timer as usize, 0, 0, 0, 0, 0];
    // SAFETY: asks about a timer by its id.
    let asked = unsafe { syscall::syscall(libc::SYS_timer_getoverrun, timer) };
    fields.set_answer(ChildField::PosixTimer, asked);
}

/// Tries to change each thing that may be the maker's as well.
fn mutate_all(fixture: &Fixture) {
    let fields = fixture.fields;
    fixture.buffer.write(FROM_CHILD);

    let file = fixture.file as usize;
    let duplicate = [file, libc::F_DUPFD_CLOEXEC as usize, 100, 0, 0, 0];
    // SAFETY: no memory.
    fields.set_answer(ChildField::Descriptor, unsafe {
        syscall::syscall(libc::SYS_fcntl, duplicate)
    });
    // SAFETY: no memory.
    let _ = unsafe {
        syscall::syscall(
            libc::SYS_lseek,
            [file, CHILD_OFFSET, libc::SEEK_SET as usize, 0, 0, 0],
        )
    };
    // SAFETY: `flock` is plain data.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_len = 1;
    // SAFETY: the kernel reads one `flock`.
    fields.set_answer(ChildField::Lock, unsafe {
        syscall::syscall(
            libc::SYS_fcntl,
            [
                file,
                libc::F_SETLK as usize,
                (&raw const lock) as usize,
                0,
                0,
                0,
            ],
        )
    });

    // SAFETY: the path ends in NUL.
    let _ = unsafe { syscall::syscall(libc::SYS_chdir, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0]) };
    // SAFETY: a number.
    let _ = unsafe { syscall::syscall(libc::SYS_umask, [CHILD_UMASK as usize, 0, 0, 0, 0, 0]) };

    let ignore = Action {
        handler: libc::SIG_IGN,
        ..Action::default()
    };
    // SAFETY: SIG_IGN is no function.
    let _ = unsafe { syscall::sigaction(fixture.ignored_signal, Some(&ignore)) };

    let up = raise(5);
    // SAFETY: the kernel reads one operation.
    fields.set_answer(ChildField::Semaphore, unsafe {
        syscall::syscall(
            libc::SYS_semop,
            [
                fixture.semaphores as usize,
                (&raw const up) as usize,
                1,
                0,
                0,
                0,
            ],
        )
    });
    // SAFETY: numbers; who 1 (a process), id 0 (the caller).
    fields.set_answer(ChildField::IoPriority, unsafe {
        syscall::syscall(libc::SYS_ioprio_set, [1, 0, CHILD_IO_PRIORITY, 0, 0, 0])
    });
}

/// Tells the observer that the child is ready, and waits until the observer has looked.
fn sync_with_observer(fixture: &Fixture) {
    let _ = syscall::write_byte(fixture.ready.1);
    let mut go = libc::pollfd {
        fd: fixture.go.0,
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::timespec {
        tv_sec: (TIMEOUT_MS / 1000) as i64,
        tv_nsec: 0,
    };
    // SAFETY: one `pollfd`, one `timespec`, no mask.
    let woken = unsafe {
        syscall::syscall(
            libc::SYS_ppoll,
            [
                (&raw mut go) as usize,
                1,
                (&raw const timeout) as usize,
                0,
                0,
                0,
            ],
        )
    };
    if woken == Ok(1) {
        let _ = syscall::read_byte(fixture.go.0);
    }
}

/// Calls execve on the lab itself; on return, says why.
fn exec_self(fixture: &Fixture) {
    let arguments = [c"lab".as_ptr(), c"exec-exit".as_ptr(), core::ptr::null()];
    let environment: [*const libc::c_char; 1] = [core::ptr::null()];
    // SAFETY: arrays of NUL-terminated strings that end in null.
    let answer = unsafe {
        syscall::syscall(
            libc::SYS_execve,
            [
                fixture.program.as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    };
    fixture.fields.set_answer(ChildField::Exec, answer);
}
