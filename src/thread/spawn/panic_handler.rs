//! A panic where nothing unwinds ends its thread and no other (feature `panic-thread`).
//!
//! # What happens to a panicking thread
//!
//! Its message, place and name go to standard error. Its joiner gets `Err(Panicked)`. Then the
//! kernel thread exits, and *nothing it owned is dropped*: not the variables of its frames, not
//! what its closure captured, not its thread-locals. Locks that it held stay locked. To all other
//! threads it is as if the thread slept without end in the middle of the function that panicked,
//! which is what makes this sound: they may hold references into its frames. So its stack stays
//! mapped, and its slot is never used again: each panic costs the address space of one stack and
//! the pages that it had touched. A task of [`warm`](mod@crate::thread::warm) ends its kernel
//! thread with it.
//!
//! # When the process ends instead
//!
//! * The main thread panicked: exit status 101, as std has it.
//! * A thread of a [`scope`](mod@crate::thread::scope) panicked: 101 too. What it borrowed it may
//!   have lent to threads of a scope of its own. Unwinding would wait for those before the lender
//!   is seen to end; without unwinding nothing does.
//! * A destructor of a thread-local, or of a result that was not joined, panicked, or the closure of
//!   `before_start`: SIGABRT, as std has it for the first two.
//! * A panic came while the message of another was being written: SIGABRT.
#![allow(unsafe_code, reason = "ends a thread in the middle of its closure")]

use core::panic::PanicInfo;

use super::{finish, running};
use crate::runtime::{current, freestanding};
use crate::sys::{file, task};

/// What a process reports whose main thread panicked.
const PANICKED: i32 = 101;

#[cfg(not(test))]
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    handle_panic(info)
}

fn handle_panic(info: &PanicInfo<'_>) -> ! {
    if freestanding::begin_panic() {
        let _ = file::write_all(2, b"fatal: a panic while panicking\n");
        task::abort()
    }
    let head = running::running();
    report(info);
    if task::tid() == task::pid() {
        task::exit_group(PANICKED)
    }
    let Some(head) = head else {
        let _ = file::write_all(2, b"fatal: a panic outside of the thread's closure\n");
        task::abort()
    };
    // SAFETY: `set_running` got the head of this thread's packet, and its closure has not
    // returned, so the packet is there.
    unsafe {
        if head.as_ref().observer.is_scope() {
            let _ = file::write_all(
                2,
                b"fatal: a thread of a scope cannot end by a panic alone\n",
            );
            task::exit_group(PANICKED)
        }
        finish::finish_panicked_thread(head)
    }
}

/// What std prints, but for the backtrace.
fn report(info: &PanicInfo<'_>) {
    let (tid, message) = (task::tid(), info.message());
    // There may be no memory for a record, and that may be what the panic is about.
    let record = current::try_current();
    let name = match &record {
        Some(record) => record.name().unwrap_or("<unnamed>"),
        None if tid == task::pid() => "main",
        None => "<unnamed>",
    };
    match info.location() {
        Some(place) => file::write_fmt(
            2,
            format_args!("\nthread '{name}' ({tid}) panicked at {place}:\n{message}\n"),
        ),
        None => file::write_fmt(
            2,
            format_args!("\nthread '{name}' ({tid}) panicked:\n{message}\n"),
        ),
    }
}
