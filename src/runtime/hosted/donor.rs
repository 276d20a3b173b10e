//! Donors: libc creates a thread on a slot's memory, and its TCB stays when its kernel thread exits.
#![allow(unsafe_code, reason = "has libc lay out a TCB on memory of ours")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::libc_layout::{self, Host, Support};
use super::pthread::description_end;
use super::pthread_create::{CREATE, create_on, errno_result};
use super::tcb::Slot;
use super::{first_donor, probe, pthread_keys, registration, tls_images, tls_snapshot};
use crate::diagnosis;
use crate::error::{Error, Limit};
use crate::flags::Preset;
use crate::primitive::answer;
use crate::runtime::setxid;
use crate::stack::slot::ALIVE;
use crate::sys::arch::{self, ChildEntry};
use crate::sys::futex::Sharing;
use crate::sys::sched::Pauses;
use crate::sys::signal::SigSet;
use crate::sys::{Errno, sched, signal, task};

/// See [`Runtime::create_tcb`](crate::runtime::Runtime::create_tcb).
pub(super) unsafe fn create_tcb(slot: Slot) -> Result<(), Error> {
    // SAFETY: passed on.
    unsafe { create(slot) }.map(drop)
}

/// As `create_tcb`. True: the donor, the first of the process, waits for its order
/// ([`first_donor`]), and the slot has no TCB yet.
///
/// # Safety
/// As `create_tcb`.
pub(super) unsafe fn create(slot: Slot) -> Result<bool, Error> {
    if END_UNSEEN.load(Ordering::Relaxed) {
        return Err(END_REFUSED);
    }
    let mut refusal = None;
    slot.clear_tid().store(ALIVE, Ordering::Relaxed);
    let tcb = slot.tcb();
    // SAFETY: the slot is the caller's alone.
    unsafe {
        (&raw mut (*tcb).on_donor).write(None);
        (&raw mut (*tcb).lost).write(false);
        (&raw mut (*tcb).refusal).write(&raw mut refusal);
    }
    // The donor must run no handler of the application. 32 and 33 are libc's own and stay open:
    // setuid waits for every thread's answer to 33.
    let old = signal::block(SigSet::all_but_libc());
    // SAFETY: the slot is the caller's alone.
    let created = unsafe { pthread_create_on(slot) };
    signal::set_mask(old);
    if let Err(errno) = created {
        slot.clear_tid().store(0, Ordering::Relaxed);
        return Err(match errno {
            Errno::EAGAIN | Errno::ENOMEM => diagnosis::pthread_error(errno),
            errno => diagnosis::refused(Preset::RAWTHREAD.flags, errno)
                .unwrap_or(Error::from_operation(&CREATE, errno)),
        });
    }
    let end = wait_for_donor(slot);
    // SAFETY: the donor has said that it will not use the place again, or it waits for its order;
    // Acquire in the wait ordered it. The place is this frame's.
    let refusal = unsafe { (&raw mut refusal).read() };
    // SAFETY: passed on.
    unsafe { outcome(slot, end, refusal) }
}

/// What the creator of a donor returns.
///
/// # Safety
/// The slot is the caller's alone, or its donor waits.
unsafe fn outcome(slot: Slot, end: DonorEnd, refusal: Option<Error>) -> Result<bool, Error> {
    match (end, refusal) {
        (DonorEnd::Waiting, _) => Ok(true),
        (DonorEnd::Gone, None) => Ok(false),
        (DonorEnd::Gone, Some(error)) => Err(error),
        (DonorEnd::Unseen, _) => {
            END_UNSEEN.store(true, Ordering::Relaxed);
            // SAFETY: the donor has written its last field.
            unsafe { (&raw mut (*slot.tcb()).lost).write(true) };
            Err(END_REFUSED)
        }
    }
}

/// See [`Runtime::dismiss_waiting`](crate::runtime::Runtime::dismiss_waiting): the donor does what it would
/// have done at once.
pub(super) unsafe fn dismiss_waiting(slot: Slot) -> Result<(), Error> {
    let mut refusal = None;
    slot.clear_tid().store(ALIVE, Ordering::Relaxed);
    // SAFETY: the donor waits, and reads the field after its order.
    unsafe {
        (&raw mut (*slot.tcb()).refusal).write(&raw mut refusal);
        first_donor::give(slot, None).map_err(|errno| Error::from_operation(&CREATE, errno))?;
    }
    let end = wait_for_donor(slot);
    // SAFETY: as in `create`.
    unsafe {
        let refusal = (&raw mut refusal).read();
        outcome(slot, end, refusal).map(drop)
    }
}

/// See [`Runtime::create_and_run`](crate::runtime::Runtime::create_and_run): the donor, once it has
/// noted its TCB, is the first thread. It is libc's own thread until it leaves by the same way as all
/// that follow it; setuid and fork see nothing unusual.
pub(super) unsafe fn create_and_run(
    slot: Slot,
    entry: ChildEntry,
    argument: *mut u8,
) -> Result<i32, Errno> {
    let tcb = slot.tcb();
    let run = Some((entry, argument));
    // SAFETY: the slot is the caller's alone until the donor exists, or its donor waits.
    unsafe {
        if first_donor::is_waiting(slot) {
            first_donor::give(slot, run)?;
        } else {
            (&raw mut (*tcb).on_donor).write(run);
            (&raw mut (*tcb).lost).write(false);
            pthread_create_on(slot)?;
        }
    }
    // The donor may not have run yet, but libc has the kernel store its tid before it exists.
    // SAFETY: with full support the handle is the address of libc's description of the thread,
    // which lies in the slot; the caller wrote the handle just now.
    Ok(unsafe { libc_layout::tid_of((&raw const (*tcb).pthread).read()) })
}

/// # Safety
/// As `create_tcb`.
unsafe fn pthread_create_on(slot: Slot) -> Result<(), Errno> {
    let (base, len) = slot.region().stack();
    let argument = ptr::from_ref(slot).cast_mut().cast();
    let mut handle = MaybeUninit::uninit();
    // SAFETY: the memory is the slot's stack, which stays mapped until the TCB is destroyed; the
    // donor gets the slot's permanent entry, and does not touch the field.
    unsafe {
        create_on(base, len, donor_main, argument, &mut handle)?;
        (&raw mut (*slot.tcb()).pthread).write(handle.assume_init());
        (&raw mut (*slot.tcb()).unjoined).write(true);
    }
    Ok(())
}

/// Runs once on each slot, as an ordinary thread of libc's.
extern "C" fn donor_main(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create_on` passed the slot's permanent entry.
    let slot: Slot = unsafe { &*argument.cast() };
    // SAFETY: `pthread_create_on` left space for it; nothing has run here yet.
    unsafe { tls_snapshot::capture(slot) };
    let tcb = slot.tcb();
    // SAFETY: written before the donor was made.
    let mut entry_on_donor = unsafe { (&raw const (*tcb).on_donor).read() };
    let is_first = libc_layout::try_get().is_none();
    let host = match probe_once(slot) {
        Ok(host) => host,
        Err(error) if entry_on_donor.is_none() => {
            refuse(slot, error);
            return ptr::null_mut();
        }
        // A donor runs a thread with known hosts only.
        Err(_) => task::abort(),
    };
    let thread_pointer = arch::thread_pointer();
    let stack_pointer = arch::stack_pointer() as usize;
    let is_on_slot = stack_range(slot).contains(&stack_pointer);
    let full = host.support() == Support::Full;
    if is_first
        && first_donor::is_wanted()
        && full
        && is_on_slot
        && !tls_snapshot::is_needed()
        && !pthread_keys::takes_memory()
    {
        // SAFETY: the slot is this donor's.
        unsafe {
            // Its creator looks at the control block meanwhile.
            (&raw mut (*tcb).thread_pointer).write(thread_pointer);
            let woken = report(slot, WAITING);
            entry_on_donor = first_donor::wait(slot, woken == 0);
        }
    }
    if entry_on_donor.is_none() && !is_on_slot {
        refuse(slot, NOT_ON_SLOT);
        return ptr::null_mut();
    }
    // SAFETY: libc has just made the thread, and `create_tcb` blocked the signals.
    if entry_on_donor.is_none() && !unsafe { pthread_keys::keep_place() } {
        refuse(slot, NO_PLACE_FOR_RECORD);
        return ptr::null_mut();
    }
    if host.layout.can_reset_tls && !tls_snapshot::is_needed() {
        tls_images::keep(slot);
    }
    let layout = &host.layout;
    let tid_field = thread_pointer
        .wrapping_offset(layout.tid_offset)
        .cast::<AtomicI32>();
    let cancelhandling = if full {
        thread_pointer
            .wrapping_offset(layout.cancelhandling_offset)
            .cast::<AtomicU32>()
    } else {
        ptr::null_mut()
    };
    // SAFETY: as above, field by field, for `pthread_create_on` writes `pthread` meanwhile.
    unsafe {
        (&raw mut (*tcb).thread_pointer).write(thread_pointer);
        (&raw mut (*tcb).unrefreshed).write(false);
        (&raw mut (*tcb).tid_field).write(tid_field);
        (&raw mut (*tcb).cancelhandling).write(cancelhandling);
        (&raw mut (*tcb).robust_head).write(layout.robust_head.in_tcb(thread_pointer));
        (&raw mut (*tcb).libc_clear_tid).write(layout.clear_tid.in_tcb(thread_pointer).cast());
        (&raw mut (*tcb).donor_tid).write((*tid_field).load(Ordering::Relaxed));
        // Without full support the donor's frames end with it.
        (&raw mut (*tcb).stack_top).write(stack_pointer & !0xf);
    }
    if !full {
        report_exiting(slot);
        return ptr::null_mut();
    }
    // SAFETY: the slot's word outlives this thread; the TCB is this thread's; the frame is
    // resumed once, when the TCB is destroyed; the entry is `create_and_run`'s caller's to vouch for.
    unsafe {
        let is_word_ours = task::set_tid_address(slot.clear_tid().as_ptr()).is_ok();
        if !is_word_ours {
            WORD_REFUSED.store(true, Ordering::Relaxed);
        }
        let frame = &raw mut (*tcb).frame;
        match entry_on_donor {
            Some((entry, argument)) => {
                // The closure runs here in any case: the spawner has gone on.
                (&raw mut (*tcb).lost).write(!is_word_ours || !is_on_slot);
                registration::install_signal_stack(slot);
                arch::save_context(frame, entry, argument);
            }
            None => {
                setxid::leave(&*tid_field, &*cancelhandling);
                let next = if is_word_ours {
                    donor_exit
                } else {
                    vanish_by_hand
                };
                arch::save_context(frame, next, argument.cast());
            }
        }
    }
    ptr::null_mut()
}

/// Whether a filter has refused set_tid_address(2), by which the kernel says when a donor has exited.
/// Relaxed: a donor that does not see it yet meets the refusal itself.
static WORD_REFUSED: AtomicBool = AtomicBool::new(false);

/// See [`WORD_REFUSED`].
pub(super) fn is_word_refused() -> bool {
    WORD_REFUSED.load(Ordering::Relaxed)
}

/// Whether filters refuse all that could tell when a donor has exited. The slots on which that was seen
/// are lost: one, or one for each thread that asks at that moment. Relaxed, as [`WORD_REFUSED`].
static END_UNSEEN: AtomicBool = AtomicBool::new(false);

const END_REFUSED: Error = Error::unsupported(
    "filters refuse set_tid_address, tgkill and sched_getscheduler: the end of a thread cannot be seen",
    "Allow one of them, or make the threads before the filters are installed (rawthread::reserve).",
    None,
);

/// Threads on donors are made where this cannot be ([`pthread_keys::takes_memory`]).
const NO_PLACE_FOR_RECORD: Error = Error::at_limit(Limit::Memory, None, Errno::ENOMEM);

fn stack_range(slot: Slot) -> core::ops::Range<usize> {
    let (base, len) = slot.region().stack();
    base as usize..base as usize + len
}

const NOT_ON_SLOT: Error = Error::unsupported(
    "this libc does not run a thread on the stack that it was given",
    "Use std::thread here, and report the libc's name and version.",
    None,
);

/// The host; the first donor looks at it.
///
/// # Errors
/// Threads cannot be made with this libc. Then nothing was published.
fn probe_once(slot: Slot) -> Result<&'static Host, Error> {
    libc_layout::try_get().map_or_else(|| probe_on(slot), Ok)
}

/// Not inlined: the probe's frames take 5 KiB, and the threads that follow a donor run below its frame.
#[cold]
#[inline(never)]
fn probe_on(slot: Slot) -> Result<&'static Host, Error> {
    let stack = stack_range(slot);
    if !stack.contains(&(arch::stack_pointer() as usize)) {
        return Err(NOT_ON_SLOT);
    }
    let limit = description_end(stack);
    // SAFETY: libc's description of this thread lies on the slot, or on another page, of which no more
    // than the page is read.
    unsafe { probe::probe(limit) }.and_then(libc_layout::publish)
}

/// The end of a donor that runs no thread.
unsafe extern "C" fn donor_exit(_: *mut u8) -> ! {
    // SAFETY: its frame is saved, and `setxid::leave` has returned: setuid expects nothing of it.
    unsafe { arch::exit_thread() }
}

/// The same where the kernel will not clear the slot's word.
///
/// # Safety
/// `argument` is the donor's slot.
unsafe extern "C" fn vanish_by_hand(argument: *mut u8) -> ! {
    // SAFETY: a permanent entry.
    report_exiting(unsafe { &*argument.cast() });
    // SAFETY: its frame is saved, and `setxid::leave` has returned: setuid expects nothing of it.
    unsafe { arch::exit_thread() }
}

/// What the slot's word holds when its donor is on its way out and the kernel will not clear the
/// word.
const LEAVING: u32 = 2;
/// The same of a donor that ends as a thread of libc does, and leaves no TCB.
const REFUSED: u32 = 3;
/// The same of the first donor when it waits for its order.
const WAITING: u32 = 4;

/// Reports to the creator that a donor whose word the kernel will not clear is on its way out.
fn report_exiting(slot: Slot) {
    report(slot, LEAVING);
}

/// Reports to the creator why there will be no TCB.
fn refuse(slot: Slot, error: Error) {
    // SAFETY: `create_tcb` waits with a place for it.
    unsafe { (*slot.tcb()).refusal.write(Some(error)) };
    report(slot, REFUSED);
}

fn report(slot: Slot, word: u32) -> usize {
    // The TCB's fields, or the refusal, come before the answer.
    // SAFETY: the control words are permanent.
    unsafe { answer::give(slot.clear_tid(), word, Sharing::Shared) }
}

/// What has become of a donor whose creator has waited for it.
enum DonorEnd {
    /// Its kernel thread has exited, its TCB written or refused. A donor that leaves no TCB was then ended
    /// by libc and joined: nothing of libc's lies on the slot.
    Gone,
    /// It waits for its order.
    Waiting,
    /// Its end cannot be seen. The slot is lost.
    Unseen,
}

/// Returns when the donor has exited or waits.
fn wait_for_donor(slot: Slot) -> DonorEnd {
    let word = slot.clear_tid();
    for _ in 0..first_donor::creators_spins() {
        if word.load(Ordering::Acquire) != ALIVE {
            break;
        }
        core::hint::spin_loop();
    }
    match answer::wait(word, ALIVE, Sharing::Shared) {
        0 => return DonorEnd::Gone,
        WAITING => {
            first_donor::set_waiting(slot);
            return DonorEnd::Waiting;
        }
        REFUSED => {
            // SAFETY: the handle was written by the caller, and the donor is joined here alone.
            unsafe {
                libc::pthread_join((*slot.tcb()).pthread, ptr::null_mut());
                (&raw mut (*slot.tcb()).unjoined).write(false);
            }
        }
        // The kernel clears libc's word, or none: ask until the tid is gone.
        // SAFETY: the donor wrote its tid before the word changed.
        _ if !wait_until_gone(unsafe { (*slot.tcb()).donor_tid }) => return DonorEnd::Unseen,
        _ => {}
    }
    word.store(0, Ordering::Release);
    DonorEnd::Gone
}

/// Returns when the process has no thread of this tid any more; false if it may not ask.
fn wait_until_gone(tid: i32) -> bool {
    let pid = task::pid();
    let mut pauses = Pauses::new();
    loop {
        let found = match signal::send_to_thread(pid, tid, 0) {
            // A filter refuses the question: ask another way.
            Err(errno) if errno != Errno::ESRCH => sched::policy(tid).map(drop),
            answer => answer,
        };
        match found {
            Err(errno) => return errno == Errno::ESRCH,
            Ok(()) => pauses.pause(),
        }
    }
}

/// An unknown libc may drop its locks when its last own thread ends: keep one that sleeps beside raw
/// clones.
pub(super) fn keep_libc_multithreaded(host: &Host) -> Result<(), Error> {
    if host.support() != Support::Partial {
        return Ok(());
    }
    extern "C" fn sleep(_: *mut c_void) -> *mut c_void {
        loop {
            sched::sleep(core::time::Duration::from_secs(1 << 30));
        }
    }
    let old = signal::block(SigSet::all_but_libc());
    let mut handle = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: default attributes; the function never returns.
    let created = errno_result(unsafe {
        libc::pthread_create(handle.as_mut_ptr(), ptr::null(), sleep, ptr::null_mut())
    });
    signal::set_mask(old);
    created.map_err(|errno| Error::from_operation(&CREATE, errno))
}
