//! Threads that libc makes and ends ([`Support::Libc`]): on a slot's memory, but with nothing private
//! of libc read at their start or written at all.
//!
//! 1. The spawner has libc make the thread on the memory ([`create`]).
//! 2. The thread runs its closure and returns to libc.
//! 3. libc runs the destructors: those on its list (C++'s and Rust's thread-locals), then those of
//!    pthread keys, in rounds. The key that remembers the thread's record is one of them. Its
//!    destructor stays for [`ROUNDS_BEFORE_END`] rounds, then ends the thread for its joiner ([`end`]): the
//!    other destructors have run, and those of later rounds are a sanitizer's own.
//! 4. The slot's word becomes 0. Before the memory is touched the thread is joined (`pthread_join`): by
//!    the handle's join, which sleeps in libc, or, if that has a time limit, finds the thread done, or the
//!    handle was dropped, by the slot's next taker or `trim`. These do not sleep: a destructor of the program's
//!    may run that long, and wait for them. They leave such a slot on its list.
//!
//! LeakSanitizer searches the stacks of threads that live. What a thread leaves its handle lies in the packet,
//! above the stack: until the thread is joined the tool searches that, too (`leak_roots`).
//!
//! * LIBC-1: While `unjoined` is set in a slot's TCB, a thread of libc's lies on its memory or on the
//!   caller's, that was neither joined nor detached. The holder of the slot, or the handle of a thread
//!   that is not detached, joins it and clears the flag.
//!
//! [`Support::Libc`]: super::libc_layout::Support::Libc
#![allow(unsafe_code, reason = "has libc make threads on memory of ours")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::libc_layout::{self, Support};
use super::pthread_create::create_with_attributes;
use super::tcb::{self, Slot, Tcb};
use super::{joinstate, pthread, pthread_keys, registration};
use crate::primitive::answer;
use crate::runtime::api::LibcThread;
use crate::runtime::occupant;
use crate::runtime::record::RecordPtr;
use crate::stack::slot::AWAITED;
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, arch, leak_roots, sched, task};

/// How often the record's key is set again before the thread is ended: libc has four rounds, of which a
/// sanitizer uses the last for its own end.
const ROUNDS_BEFORE_END: u32 = 2;

/// Whether libc makes the threads of this process.
pub(super) fn is_chosen() -> bool {
    libc_layout::try_get().is_some_and(|host| host.support() == Support::Libc)
}

/// Sets the calling thread's comm; by libc's function where libc makes the threads, so that a tool which
/// follows that one has the name in its reports.
pub(super) fn set_name(comm: &[u8; 16]) {
    if is_chosen() {
        // SAFETY: it reads up to 16 bytes, of which the last is 0.
        unsafe { libc::prctl(libc::PR_SET_NAME, comm.as_ptr(), 0, 0, 0) };
    } else {
        task::set_name(comm);
    }
}

/// See [`Runtime::create_libc_thread`](crate::runtime::Runtime::create_libc_thread).
pub(super) unsafe fn create(
    slot: Slot,
    (low, len): (usize, usize),
    thread: LibcThread,
) -> Result<i32, Errno> {
    let tcb = slot.tcb();
    let argument = ptr::from_ref(slot).cast_mut().cast();
    let mut handle = MaybeUninit::uninit();
    // SAFETY: the slot is the caller's alone until the thread exists, which does not touch `pthread` and
    // `unjoined` before its last user gives the slot away; the memory is the thread's by contract.
    unsafe {
        (&raw mut (*tcb).libc_thread).write(Some(thread));
        let reports = pthread_keys::takes_memory();
        (&raw mut (*tcb).rounds).write(if reports { STARTING } else { 0 });
        add_leak_root(slot, thread.argument);
        if let Err(errno) = create_with_attributes(low as *mut u8, len, main, argument, &mut handle)
        {
            remove_leak_root(slot);
            return Err(errno);
        }
        let handle = handle.assume_init();
        if reports && !has_started(slot) {
            libc::pthread_join(handle, ptr::null_mut());
            remove_leak_root(slot);
            return Err(Errno::ENOMEM);
        }
        (&raw mut (*tcb).pthread).write(handle);
        (&raw mut (*tcb).unjoined).write(true);
        // The kernel stores the tid before the thread exists. A thread that has ended stored its own
        // in its record.
        Ok(pthread::tid_of(handle).unwrap_or_else(|| libc_layout::tid_of(handle)))
    }
}

/// Has LeakSanitizer search the packet, from its address to the end of the slot's stack, in which it lies.
///
/// # Safety
/// The slot is the caller's alone.
unsafe fn add_leak_root(slot: Slot, packet: *const u8) {
    // SAFETY: the caller's own field.
    unsafe { (&raw mut (*slot.tcb()).leak_root).write(packet) };
    leak_roots::add(packet, len_from(slot, packet));
}

/// Takes back what [`add_leak_root`] did, if it was called.
///
/// # Safety
/// The slot is the caller's alone.
unsafe fn remove_leak_root(slot: Slot) {
    // SAFETY: the caller's own field.
    let packet = unsafe { (&raw mut (*slot.tcb()).leak_root).replace(ptr::null()) };
    if !packet.is_null() {
        // SAFETY: added, and not taken back, as the field said; the slot has the same stack.
        unsafe { leak_roots::remove(packet, len_from(slot, packet)) };
    }
}

/// Bytes from an address in the slot's stack to the stack's end.
fn len_from(slot: Slot, address: *const u8) -> usize {
    let (base, len) = slot.region().stack();
    (base as usize + len).saturating_sub(address as usize)
}

/// What `rounds` holds until the thread has seen whether it can remember its record, if that takes memory.
const STARTING: u32 = u32::MAX;
/// What it holds if the thread cannot: it ends at once.
const REFUSED: u32 = u32::MAX - 1;

/// The word of `rounds`, while the spawner waits for it.
///
/// # Safety
/// The slot's thread starts, and its spawner waits: neither uses the field in another way.
unsafe fn start_word(slot: Slot) -> &'static AtomicU32 {
    // SAFETY: an address in a permanent cell; as the caller vouches.
    unsafe { AtomicU32::from_ptr(&raw mut (*slot.tcb()).rounds) }
}

/// Spawner: waits until the thread has seen whether it can remember its record, and returns that.
///
/// # Safety
/// `create` has just made the thread, with `rounds` at `STARTING`.
unsafe fn has_started(slot: Slot) -> bool {
    // SAFETY: as the caller vouches.
    let word = unsafe { start_word(slot) };
    answer::wait(word, STARTING, Sharing::Private) != REFUSED
}

/// Thread: the other side of [`has_started`]; whether the thread is to run.
///
/// # Safety
/// The slot is the calling thread's, which has no record yet.
unsafe fn start(slot: Slot) -> bool {
    // SAFETY: the field is this thread's, or the spawner waits for it as a word.
    let word = unsafe { start_word(slot) };
    if word.load(Ordering::Relaxed) != STARTING {
        return true;
    }
    let old = signal::block(SigSet::all_but_libc());
    // SAFETY: by the contract, and signals are blocked.
    let can_run = unsafe { pthread_keys::keep_place() };
    signal::set_mask(old);
    // SAFETY: the control words are permanent.
    unsafe { answer::give(word, if can_run { 0 } else { REFUSED }, Sharing::Private) };
    can_run
}

/// Where such a thread begins.
extern "C" fn main(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `create` passed the slot's permanent cell.
    let slot: Slot = unsafe { &*argument.cast() };
    let tcb = slot.tcb();
    // SAFETY: the fields are the thread's from here; `create` wrote `libc_thread` first.
    let thread = unsafe {
        if !start(slot) {
            return ptr::null_mut();
        }
        (&raw mut (*tcb).thread_pointer).write(arch::thread_pointer());
        registration::install_first_signal_stack(slot);
        (&raw const (*tcb).libc_thread).read()
    };
    if let Some(thread) = thread {
        // SAFETY: the spawner vouches for it.
        unsafe { (thread.main)(thread.argument) };
    }
    // As every thread of this crate: `local!`s before the destructors that libc runs.
    // SAFETY: the closure has ended.
    unsafe { pthread_keys::run_local_dtors() };
    if pthread_keys::current().is_null() {
        // libc had no memory for the key's value, so no destructor will come.
        // SAFETY: the closure has ended.
        unsafe { end(slot) };
    }
    ptr::null_mut()
}

/// What the destructor of the record's key does for a thread of this kind; false if `record` is not
/// such a thread's.
///
/// # Safety
/// The calling thread's record, which libc has taken out of the key.
pub(super) unsafe fn on_key_destructor(record: RecordPtr) -> bool {
    if !is_chosen() {
        return false;
    }
    // SAFETY: null or the calling thread's record, which is permanent memory; the type is this
    // runtime's.
    let Some(slot) = (unsafe {
        record
            .as_ref()
            .and_then(|record| occupant::slot_of::<Tcb>(record))
    }) else {
        return false;
    };
    let tcb = slot.tcb();
    // SAFETY: an address in a permanent cell.
    let rounds = unsafe { &raw mut (*tcb).rounds };
    // SAFETY: the calling thread's own field, and its own values; the closure has ended. The key's value
    // stands for the packet's reference until `end`.
    unsafe {
        pthread_keys::set_current(record);
        pthread_keys::run_local_dtors();
        if rounds.read() < ROUNDS_BEFORE_END && !pthread_keys::current().is_null() {
            rounds.write(rounds.read() + 1);
            return true;
        }
        pthread_keys::set_current(ptr::null());
        end(slot);
    }
    true
}

/// Ends the thread for its handle and gives its slot up.
///
/// # Safety
/// The slot is the calling thread's, whose closure has ended; called once.
unsafe fn end(slot: Slot) {
    // SAFETY: the field is this thread's until `thread.end` gives the slot away.
    let thread = unsafe { (&raw const (*slot.tcb()).libc_thread).read() };
    if let Some(thread) = thread {
        // SAFETY: the spawner vouches for it; once.
        unsafe { (thread.end)(thread.argument) };
    }
    // Release: all that this thread did before the next taker, which then joins it. The control words
    // are permanent.
    if slot.clear_tid().swap(0, Ordering::Release) == AWAITED {
        futex::wake(slot.clear_tid().as_ptr(), u32::MAX, Sharing::Shared);
    }
}

/// Joins the thread that lies on the slot's memory, if one does; false if that is the calling thread, or
/// libc refuses. Then the memory must not be used.
///
/// Blocks until libc has run the last round of the thread's destructors.
///
/// # Safety
/// The slot is the caller's alone, and its word is 0, or the calling thread is its own. Or the caller is
/// the thread's handle or spawner.
pub(super) unsafe fn join(slot: Slot) -> bool {
    let tcb = slot.tcb();
    // SAFETY: as the caller vouches; LIBC-1.
    unsafe {
        if !(&raw const (*tcb).unjoined).read() {
            return true;
        }
        let pthread = (&raw const (*tcb).pthread).read();
        if libc::pthread_equal(libc::pthread_self(), pthread) != 0 {
            return false;
        }
        if libc::pthread_join(pthread, ptr::null_mut()) != 0 {
            return false;
        }
        (&raw mut (*tcb).unjoined).write(false);
        (&raw mut (*tcb).thread_pointer).write(ptr::null_mut());
        remove_leak_root(slot);
    }
    true
}

/// Whether libc has ended the thread on the slot's memory, or there is none: then [`join`] does not block.
///
/// # Safety
/// As [`join`], or the caller has the thread's handle, which is not detached.
pub(super) unsafe fn has_ended(slot: Slot) -> bool {
    let tcb = slot.tcb();
    // SAFETY: by the contract no call joins the thread now, and nothing else writes the fields;
    // LIBC-1: libc's handle is good until then.
    unsafe {
        !(&raw const (*tcb).unjoined).read()
            || pthread::tid_of((&raw const (*tcb).pthread).read()) == Some(0)
    }
}

/// As [`join`], where that would not block; else false.
///
/// # Safety
/// As [`join`].
pub(super) unsafe fn join_if_ended(slot: Slot) -> bool {
    // SAFETY: passed on.
    unsafe { has_ended(slot) && join(slot) }
}

/// As [`join_if_ended`], after a bounded wait: destructors of the program's may still run, and wait
/// for the caller.
///
/// # Safety
/// As [`join`].
pub(super) unsafe fn join_soon(slot: Slot) -> bool {
    const TURNS: u32 = 64;
    for turn in 0..TURNS {
        // SAFETY: passed on.
        if unsafe { join_if_ended(slot) } {
            return true;
        }
        if turn >= TURNS / 2 {
            // It may wait for this very processor.
            sched::yield_now();
        }
        core::hint::spin_loop();
    }
    false
}

/// In the child of a fork: false if the calling thread, which runs on `slot`, cannot be joined there;
/// then it is not.
///
/// # Safety
/// The slot is the calling thread's, which libc made, and the process has no other thread.
pub(super) unsafe fn keep_joinable_after_fork(slot: Slot) -> bool {
    // SAFETY: as the caller vouches.
    unsafe {
        let joinable = joinstate::report_end_after_fork(arch::thread_pointer());
        if !joinable {
            (&raw mut (*slot.tcb()).unjoined).write(false);
        }
        joinable
    }
}

/// As [`tcb::stack_top`], for the cache: a slot whose thread was joined holds nothing.
///
/// # Safety
/// The slot is the caller's alone, and vacant.
pub(super) unsafe fn stack_top(slot: Slot) -> usize {
    if !is_chosen() {
        // SAFETY: passed on.
        return unsafe { tcb::stack_top(slot) };
    }
    let (base, len) = slot.region().stack();
    // SAFETY: passed on.
    if unsafe { join_if_ended(slot) } {
        base as usize + len
    } else {
        0
    }
}
