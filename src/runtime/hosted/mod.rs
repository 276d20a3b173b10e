//! Raw clones as citizens of a libc process.
//!
//! A thread needs a thread control block that the libc made and has in its lists, or `errno`,
//! malloc, thread-locals, setuid and dlopen break. No libc hands one out, so each slot's TCB
//! is created once: libc creates an ordinary thread on the slot's memory (the *donor*), whose
//! kernel thread leaves while its TCB stays. Every spawn on that slot is then one raw clone that
//! takes the TCB over. Where libc is known well enough, the donor itself is the slot's first
//! thread (a *launch*), and a first spawn costs one kernel thread, not two.
//!
//! * [`libc_layout`]: which libc this is, where its private words lie, how far we may go (support).
//! * [`donor`] makes donors; [`tid_field`] finds the tid in what they have; [`tcb_reserve`] says
//!   how much of a slot they take.
//! * [`exit`]: the way out, and in, that setuid and its family can live with.
//! * [`fork`]: what a forked child makes its own of all this.
//! * [`modules`]: asking for the loaded modules beside forks; [`loader_lock`]: and after one.
//! * [`tls_reset`]: thread-locals fresh for the next thread; [`pthread_keys`]: pthread keys'
//!   destructors.
//! * [`libc_state`]: what of libc's own a program can see.
//! * [`tls_images`]: what they are at first, so that no thread asks the loader at its end.
//! * [`tls_snapshot`]: the same in static programs; [`unreported_tls`]: in libraries that came later.
//! * [`stack_words`]: what libc tells of a thread's stack; [`pin`]: a plugin stays loaded.
//! * [`overflow`]: the report of a stack overflow; [`destroy`]: the end of a TCB.
#![allow(unsafe_code, reason = "stands between the kernel and libc")]

mod destroy;
pub(crate) mod donor;
mod exit;
pub(crate) mod fork;
pub(crate) mod libc_layout;
mod libc_state;
mod loader_lock;
mod modules;
pub(crate) mod overflow;
mod pin;
pub(crate) mod pthread_keys;
mod stack_words;
mod symbols;
mod tcb_reserve;
mod tid_field;
mod tls_images;
pub(crate) mod tls_reset;
mod tls_snapshot;
mod unreported_tls;

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::{CloneTls, Runtime, Slot};
use crate::arena::Zeroable;
use crate::error::Error;
use crate::stack::slot::Cache;
use crate::sys::arch::{self, ChildEntry};
use crate::sys::futex::{self, Sharing};
use crate::sys::{Errno, signal, task};
use libc_layout::{Host, Support};

/// The hosted runtime.
#[derive(Debug)]
pub(crate) struct Hosted;

/// What `create_tcb` leaves on a slot. All addresses lie in the slot, which outlives them.
///
/// Invariants of such a TCB:
/// * TCB-1: `thread_pointer` is a TCB that libc made and has in its lists, whose kernel thread is
///   gone.
/// * TCB-2: `tid_field` is the word of that TCB in which libc keeps the thread's tid.
/// * TCB-3: nothing above the donor's saved frame, in guests above `stack_top`, is used by frames
///   of raw threads.
#[derive(Debug)]
pub(crate) struct Tcb {
    thread_pointer: *mut u8,
    tid_field: *const AtomicI32,
    /// The word with libc's SETXID mark; null where we are only guests.
    cancelhandling: *const AtomicU32,
    robust_head: *mut u8,
    stack_top: usize,
    /// The donor's saved stack pointer (see `arch::save_context`); 0 where we are only guests.
    frame: usize,
    /// What libc had registered as the donor's clear-tid word; null if unknown.
    libc_clear_tid: *mut u32,
    /// libc's handle of the donor.
    pthread: libc::pthread_t,
    /// Whether the last thread could not make its thread-locals fresh: the TCB must be retired
    /// before another runs on it. See `tls_images`.
    unrefreshed: bool,
    /// The donor's tid while it lives.
    donor_tid: i32,
    /// What libc told of the stack before [`stack_words::set`]; zeroes if that was not called.
    libc_stack: [usize; 2],
    /// What the donor goes on to do instead of leaving at once (see `donor::create_and_run`).
    on_donor: Option<(ChildEntry, *mut u8)>,
    /// Where a donor that is not launched says why there is no TCB; its creator waits.
    refusal: *mut Option<Error>,
    /// Whether the slot is not to be used again (see [`Runtime::is_lost`]). Written before a
    /// launch's entry runs.
    lost: bool,
}

// SAFETY: all-zero bytes are null addresses and zeroes; access follows SLOT-1 of `stack::slot`.
unsafe impl Zeroable for Tcb {
    const BOUNDS_IDLE_MEMORY: bool = true;
}
// SAFETY: the addresses are used by whoever holds the slot; none belongs to a particular thread.
unsafe impl Sync for Tcb {}

static CACHE: Cache<Tcb> = Cache::new();

impl Runtime for Hosted {
    type Tcb = Tcb;

    fn cache() -> &'static Cache<Tcb> {
        &CACHE
    }

    fn ensure_init() -> Result<(), Error> {
        fork::after_fork()?;
        libc_layout::get_or_probe().map(drop)
    }

    fn tcb_reserve() -> usize {
        tcb_reserve::tcb_reserve()
    }

    unsafe fn create_tcb(slot: Slot) -> Result<(), Error> {
        // SAFETY: passed on.
        unsafe { donor::create_tcb(slot) }
    }

    unsafe fn destroy_tcb(slot: Slot) -> bool {
        // SAFETY: passed on.
        unsafe { destroy::destroy_tcb(slot) }
    }

    unsafe fn must_retire(slot: Slot) -> bool {
        // SAFETY: the slot is the caller's alone and has a TCB.
        unsafe { (*slot.tcb()).unrefreshed }
    }

    const INLINE_PACKET_MAX: Option<usize> = Some(donor::INLINE_PACKET_MAX);

    fn can_create_and_run() -> bool {
        // A donor must take its snapshot before any handler of the program runs on it.
        !is_partial() && !tls_snapshot::is_needed() && !donor::is_word_refused()
    }

    fn is_lost(slot: Slot) -> bool {
        // SAFETY: the field is not written while a thread or its spawner may ask.
        unsafe { (*slot.tcb()).lost }
    }

    unsafe fn create_and_run(
        slot: Slot,
        entry: ChildEntry,
        argument: *mut u8,
    ) -> Result<i32, Errno> {
        // SAFETY: passed on.
        unsafe { donor::create_and_run(slot, entry, argument) }
    }

    fn put_used(slot: Slot) {
        CACHE.put_used(slot, stack_top);
    }

    unsafe fn prepare_clone(slot: Slot) -> CloneTls {
        exit::wait_setxid_before_clone();
        let tcb = slot.tcb();
        // SAFETY: the slot is the caller's alone (SLOT-1) and has a TCB.
        unsafe {
            CloneTls {
                tls: (*tcb).thread_pointer as usize,
                parent_tid: (*tcb).tid_field as usize,
                stack_top: stack_top(slot),
            }
        }
    }

    /// The kernel stores a tid only when clone succeeds: there is nothing to undo.
    unsafe fn cancel_clone(_slot: Slot) {}

    unsafe fn on_thread_start(slot: Slot) {
        let tcb = slot.tcb();
        // SAFETY: the slot belongs to the calling thread now. The TCB is ours by TCB-1 and the
        // calling thread runs on it.
        unsafe {
            libc_layout::register_rseq((*tcb).thread_pointer);
            register_robust_list((*tcb).robust_head);
        }
        tls_reset::use_global_locale();
        // SAFETY: passed on.
        unsafe { install_signal_stack(slot) };
    }

    /// Three kinds of values have destructors: `local!`'s, those on libc's list (std's and C++'s
    /// thread-locals), and pthread keys'. Any of them may make values of any kind.
    ///
    /// Libc's list belongs to the TCB: an entry that stayed would run at the end of the next thread
    /// on it, on that thread's fresh variables. So libc's list runs last in every round. A round in
    /// which there was nothing of the other kinds is the last: then nothing is left at all. What is
    /// left after the last round that POSIX has for keys is lost, as it is at a pthread's end:
    /// `pthread_keys::reset` forgets the keys' values, and the record's next use the `local!`s.
    unsafe fn run_destructors(_slot: Slot) {
        super::tls_values::run_dtors();
        // SAFETY: the closure has ended; libc's destructors belong to the calling thread.
        unsafe { tls_reset::run_destructors() };
        for _ in 0..pthread_keys::ROUNDS {
            // SAFETY: as above.
            let had_keys = unsafe { pthread_keys::run_destructors() };
            let had_locals = super::tls_values::run_dtors();
            if !had_keys && !had_locals {
                break;
            }
            // SAFETY: as above.
            unsafe { tls_reset::run_destructors() };
        }
    }

    unsafe fn exit_if_last(slot: Slot, end_idle: fn()) {
        // SAFETY: passed on.
        unsafe { fork::exit_if_last(slot, end_idle) };
    }

    unsafe fn on_thread_exit(slot: Slot) {
        // SAFETY: passed on.
        unsafe { exit::on_thread_exit(slot) };
        if Self::is_lost(slot) {
            // The kernel will not do it, and nobody takes the slot after this thread.
            slot.clear_tid().store(0, Ordering::Release);
            futex::wake(slot.clear_tid().as_ptr(), 1, Sharing::Shared);
        }
    }

    unsafe fn reset_for_reuse(slot: Slot) -> bool {
        // SAFETY: passed on; the slot is the calling thread's.
        unsafe {
            exit::reset_for_reuse(slot);
            // The task may have had one of its own, whose memory goes with it.
            install_signal_stack(slot);
            !(*slot.tcb()).unrefreshed && holds_no_robust_mutex((*slot.tcb()).robust_head)
        }
    }

    fn fork_generation() -> u32 {
        CACHE.process()
    }

    fn tid() -> i32 {
        libc_layout::cached_tid()
    }

    fn native_stack() -> (usize, usize) {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let (mut low, mut len) = (core::ptr::null_mut(), 0);
        // SAFETY: the functions fill what they are given, in this order.
        unsafe {
            let attributes = attributes.as_mut_ptr();
            if libc::pthread_getattr_np(libc::pthread_self(), attributes) != 0 {
                return (0, 0);
            }
            libc::pthread_attr_getstack(attributes, &mut low, &mut len);
            libc::pthread_attr_destroy(attributes);
        }
        (low as usize, low as usize + len)
    }

    fn can_set_stack() -> Option<bool> {
        stack_words::are_found()
    }

    unsafe fn learn_to_set_stack(slot: Slot) {
        // SAFETY: passed on.
        unsafe { stack_words::find(slot) };
    }

    unsafe fn set_stack(slot: Slot, low: usize, end: usize) {
        // SAFETY: passed on.
        unsafe { stack_words::set(slot, low, end) };
    }

    unsafe fn restore_stack(slot: Slot) {
        // SAFETY: passed on.
        unsafe { stack_words::restore(slot) };
    }

    fn current() -> *mut () {
        pthread_keys::current()
    }

    fn set_current(record: *mut ()) {
        pthread_keys::set_current(record);
    }
}

/// The highest address of the slot's stack that frames of its threads use; the TCB lies above.
///
/// # Safety
/// The slot is the caller's alone, vacant, and has a TCB.
unsafe fn stack_top(slot: Slot) -> usize {
    let tcb = slot.tcb();
    // SAFETY: as the caller vouches; field by field.
    let (frame, stack_top) = unsafe { ((*tcb).frame, (*tcb).stack_top) };
    // Nothing above a parked frame is touched; guests have none.
    match frame {
        0 => stack_top,
        frame => frame & !0xf,
    }
}

/// # Safety
/// The slot belongs to the calling thread.
unsafe fn install_signal_stack(slot: Slot) {
    let (base, len) = slot.region().signal_stack();
    // SAFETY: the signal stack is this slot's and nobody uses it (REGION-1 of `stack::region`).
    // Where a filter refuses, an overflow ends the process without a report.
    let _ = unsafe { signal::set_alternate_stack(base, len) };
}

/// Empties the TCB's robust-mutex list and registers it: the kernel starts every thread without
/// one, and a thread that dies with a robust mutex must be found by its waiters.
///
/// # Safety
/// `head` is null or the list head in the calling thread's TCB.
unsafe fn register_robust_list(head: *mut u8) {
    if head.is_null() {
        return;
    }
    // struct robust_list_head: next, futex_offset, list_op_pending (linux/futex.h). The offset is
    // libc's constant and stays. glibc keeps the list doubly linked: the word before the head is
    // its `prev`, which glibc does not read on the head.
    // SAFETY: the head is ours while this thread lives.
    unsafe {
        head.cast::<*mut u8>().write(head);
        head.add(16).cast::<*mut u8>().write(core::ptr::null_mut());
        // Where a filter refuses, waiters for a robust mutex are not told of the owner's end; libc's
        // own threads go on as well.
        let _ = task::set_robust_list(head);
    }
}

/// Whether the calling thread holds no robust mutex, for which the kernel must see the owner die.
///
/// # Safety
/// As [`register_robust_list`].
unsafe fn holds_no_robust_mutex(head: *mut u8) -> bool {
    // An empty list points at its head.
    // SAFETY: the head is ours while this thread lives.
    head.is_null() || unsafe { head.cast::<*mut u8>().read() } == head
}

/// Which libc hosts this process and how well threads of this crate fit in. Feature `hosted`.
///
/// # Errors
/// `Unsupported` where threads cannot be made at all.
///
/// ```
/// let host = rawthread::host()?;
/// println!("{host}");
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn host() -> Result<&'static Host, Error> {
    libc_layout::get_or_probe()
}

/// Whether nothing private of libc may be written.
fn is_partial() -> bool {
    !matches!(
        libc_layout::get_or_probe().map(Host::support),
        Ok(Support::Full)
    )
}

/// The calling thread's TCB.
fn thread_pointer() -> *mut u8 {
    arch::thread_pointer()
}

const CANCEL_ENABLE: i32 = 0;
const CANCEL_DISABLE: i32 = 1;
const CANCEL_DEFERRED: i32 = 0;

unsafe extern "C" {
    fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
    fn pthread_setcanceltype(kind: i32, old: *mut i32) -> i32;
}

/// Where libc's description of the calling thread starts.
fn pthread_address() -> *const u8 {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() as *const u8 }
}
