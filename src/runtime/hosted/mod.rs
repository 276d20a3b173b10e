//! Threads made by clone in a libc process.
//!
//! A thread needs a thread control block that the libc made and has in its lists, or `errno`,
//! malloc, thread-locals, setuid and dlopen break. No libc hands one out, so each slot's TCB
//! is created once: libc creates an ordinary thread on the slot's memory (the *donor*), whose
//! kernel thread leaves while its TCB stays. Every spawn on that slot is then one raw clone that
//! takes the TCB over. Where libc is known well enough, the donor itself is the slot's first
//! thread, and a first spawn costs one kernel thread, not two.
//!
//! * [`tcb`]: what is kept on each slot; [`registration`]: what each thread registers with the
//!   kernel.
//! * [`symbols`], [`pthread`], [`pthread_create`]: what is called of libc.
//! * [`libc_layout`]: which libc this is and where its private words lie; [`probe`] finds that out,
//!   with [`tid_field`] and [`key_table`].
//! * [`choice`]: what the program asked for; [`libc_thread`]: threads that libc makes and ends.
//! * [`donor`] makes donors, of which the first may wait ([`first_donor`]); [`tcb_reserve`] says how much of a slot they take; [`init`]: what must
//!   happen before the first thread.
//! * [`exit`]: thread exit and start, synchronised with setuid and its family; [`exit_lock`]: and with
//!   `pthread_kill`; [`joinstate`]: and with libc's look at ended threads.
//! * [`fork`]: what a forked child does with all this; [`atfork`]: the handlers in libc's fork.
//! * [`modules`]: the loaded modules, read beside forks; [`loader_lock`]: and after one, with
//!   [`loader_variable`].
//! * [`tls_reset`]: thread-locals fresh for the next thread; [`pthread_keys`]: pthread keys'
//!   destructors.
//! * [`libc_state`]: libc's own thread-locals, as far as a program can see them.
//! * [`tls_images`]: the initial images of static TLS, so that no thread asks the loader at its end.
//! * [`tls_snapshot`]: the same in static programs; [`unreported_tls`]: in libraries that came later.
//! * [`stack_words`]: what libc reports as a thread's stack; [`pin`]: keeps a plugin loaded.
//! * [`recover`]: the TCB of a process that was killed on it.
//! * [`overflow`]: the report of a stack overflow; [`destroy`]: the end of a TCB.
#![allow(unsafe_code, reason = "stands between the kernel and libc")]

mod atfork;
pub(crate) mod choice;
mod destroy;
mod donor;
mod exit;
mod exit_lock;
mod first_donor;
pub(crate) mod fork;
mod init;
mod joinstate;
mod key_table;
pub(crate) mod libc_layout;
mod libc_state;
mod libc_thread;
mod loader_lock;
mod loader_variable;
mod modules;
mod overflow;
mod pin;
mod probe;
mod pthread;
mod pthread_create;
mod pthread_keys;
mod recover;
mod registration;
mod stack_words;
mod symbols;
mod tcb;
mod tcb_reserve;
mod tid_field;
mod tls_images;
mod tls_reset;
mod tls_snapshot;
mod unreported_tls;

use core::sync::atomic::{AtomicUsize, Ordering};

use super::api::{CloneTls, LibcThread, Runtime};
use super::record::RecordPtr;
use crate::error::Error;
use crate::stack::cache::Cache;
use crate::sys::Errno;
use crate::sys::arch::ChildEntry;
use crate::sys::futex::{self, Sharing};
use libc_layout::Host;
use tcb::{CACHE, Slot, Tcb};

/// How many bytes of idle stacks keep what threads left in them. Relaxed: a policy hangs on it, no
/// memory.
static IDLE_MEMORY: AtomicUsize = AtomicUsize::new(16 << 20);

/// Seconds of a clock that libc reads without a system call where the kernel lends it the page for that
/// (vdso(7)); 0 where it is refused.
fn seconds() -> u32 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is writable and large enough.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    // The truncation is exact for the first 136 years after a boot.
    now.tv_sec as u32
}

/// The hosted runtime.
#[derive(Debug)]
pub(crate) struct Hosted;

impl Runtime for Hosted {
    type Tcb = Tcb;

    const KEEPS_FOREIGN_RECORDS: bool = true;

    fn cache() -> &'static Cache<Tcb> {
        &CACHE
    }

    fn ensure_init() -> Result<(), Error> {
        fork::ensure_fork_noticed()?;
        init::get_or_probe().map(drop)
    }

    fn ensure_init_to_run() -> Result<Option<Slot>, Error> {
        fork::ensure_fork_noticed()?;
        init::get_or_probe_to_run()
    }

    unsafe fn dismiss_waiting(slot: Slot) -> Result<(), Error> {
        // SAFETY: passed on.
        unsafe { donor::dismiss_waiting(slot) }
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
        libc_thread::is_chosen() || unsafe { (*slot.tcb()).unrefreshed }
    }

    const INLINE_PACKET_MAX: Option<usize> = Some(tcb::INLINE_PACKET_MAX);

    fn can_create_and_run() -> bool {
        // A donor must take its snapshot before any handler of the program runs on it.
        !init::is_partial()
            && !tls_snapshot::is_needed()
            && !donor::is_word_refused()
            // Its spawner does not wait to hear that there is no memory.
            && !pthread_keys::takes_memory()
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
        if libc_thread::is_chosen() {
            // SAFETY: the caller is the last of thread and handle. A thread that has not ended yet, as
            // one that gives its own slot up, is joined by the next taker.
            unsafe { libc_thread::join_if_ended(slot) };
        }
        let most = IDLE_MEMORY.load(Ordering::Relaxed);
        CACHE.put_used(slot, most, seconds, libc_thread::stack_top);
    }

    fn set_idle_memory(bytes: usize) {
        IDLE_MEMORY.store(bytes, Ordering::Relaxed);
        CACHE.discard_beyond(bytes, libc_thread::stack_top);
    }

    fn set_name(comm: &[u8; 16]) {
        libc_thread::set_name(comm);
    }

    fn is_served_by_libc() -> bool {
        libc_thread::is_chosen()
    }

    unsafe fn create_libc_thread(
        slot: Slot,
        stack: (usize, usize),
        thread: LibcThread,
    ) -> Result<i32, Errno> {
        // SAFETY: passed on.
        unsafe { libc_thread::create(slot, stack, thread) }
    }

    unsafe fn join_libc_thread(slot: Slot) -> bool {
        // SAFETY: passed on.
        libc_thread::is_chosen() && unsafe { libc_thread::join(slot) }
    }

    unsafe fn has_left_stack(slot: Slot) -> bool {
        // SAFETY: passed on.
        slot.has_exited() && (!libc_thread::is_chosen() || unsafe { libc_thread::has_ended(slot) })
    }

    unsafe fn prepare_clone(slot: Slot) -> CloneTls {
        // SAFETY: passed on.
        unsafe { exit::prepare_clone(slot) }
    }

    /// The kernel stores a tid only when clone succeeds: there is nothing to undo.
    unsafe fn cancel_clone(_slot: Slot) {}

    unsafe fn on_thread_start(slot: Slot) {
        let tcb = slot.tcb();
        // SAFETY: the slot belongs to the calling thread now. The TCB is ours by TCB-1 and the
        // calling thread runs on it.
        unsafe {
            registration::register_rseq((*tcb).thread_pointer);
            registration::register_robust_list((*tcb).robust_head);
        }
        tls_reset::use_global_locale();
        // SAFETY: passed on.
        unsafe { registration::install_signal_stack(slot) };
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
        // SAFETY: the closure has ended; the values and libc's destructors are the calling thread's.
        unsafe {
            pthread_keys::run_local_dtors();
            tls_reset::run_destructors();
        }
        for _ in 0..pthread_keys::ROUNDS {
            // SAFETY: as above.
            let had_keys = unsafe { pthread_keys::run_destructors() };
            // SAFETY: as above.
            let had_locals = unsafe { pthread_keys::run_local_dtors() };
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
    }

    unsafe fn withdraw_tid(slot: Slot) {
        // SAFETY: passed on.
        unsafe { exit::withdraw_tid(slot) };
        if Self::is_lost(slot) {
            // The kernel will not do it, and no thread takes the slot after this one.
            slot.clear_tid().store(0, Ordering::Release);
            futex::wake(slot.clear_tid().as_ptr(), 1, Sharing::Shared);
        }
    }

    unsafe fn reset_for_reuse(slot: Slot) -> bool {
        // SAFETY: passed on; the slot is the calling thread's.
        unsafe {
            exit::reset_for_reuse(slot);
            // The task may have had one of its own, whose memory goes with it.
            registration::install_signal_stack(slot);
            !(*slot.tcb()).unrefreshed
                && registration::holds_no_robust_mutex((*slot.tcb()).robust_head)
        }
    }

    fn prepare_to_recover() {
        recover::note_libc_block();
    }

    unsafe fn recover(slot: Slot, is_intact: bool) -> bool {
        // SAFETY: passed on.
        CACHE.owns(slot) && !Self::is_lost(slot) && unsafe { recover::recover(slot, is_intact) }
    }

    fn fork_generation() -> u32 {
        CACHE.fork_generation()
    }

    fn tid() -> i32 {
        libc_layout::cached_tid()
    }

    fn native_stack() -> (usize, usize) {
        stack_words::native_stack()
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
        // SAFETY: passed on. A thread that gives its own slot up is joined by the slot's next taker.
        unsafe {
            if libc_thread::is_chosen() {
                libc_thread::join(slot);
            } else {
                stack_words::restore(slot);
            }
        }
    }

    fn current() -> RecordPtr {
        pthread_keys::current()
    }

    unsafe fn set_current(record: RecordPtr) {
        // SAFETY: passed on.
        unsafe { pthread_keys::set_current(record) };
    }
}

/// libc's handle of the thread on a slot.
///
/// # Safety
/// A thread was made on the slot, and the caller has its handle: the field is not written while one
/// exists.
#[cfg(feature = "std")]
pub(crate) unsafe fn pthread_of(slot: Slot) -> libc::pthread_t {
    // SAFETY: the control words are permanent; the spawner wrote the field before it made the handle.
    unsafe { (&raw const (*slot.tcb()).pthread).read() }
}

/// Returns which libc hosts this process and how well threads of this crate fit in. Feature `hosted`.
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
    init::get_or_probe()
}
