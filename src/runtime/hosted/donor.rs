//! Donors: libc makes a thread on a slot's memory, and its TCB stays when it leaves.
#![allow(unsafe_code, reason = "has libc lay out a TCB on memory of ours")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::libc_layout::{self, Host, Support};
use super::{CACHE, exit, modules, symbols, tls_images, tls_snapshot};
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::Preset;
use crate::runtime::Slot;
use crate::stack::layout;
use crate::stack::slot::{self, ALIVE, Acquired};
use crate::sync::raw::RawMutex;
use crate::sys::arch::{self, ChildEntry};
use crate::sys::futex::{self, Sharing};
use crate::sys::sched::Pauses;
use crate::sys::signal::SigSet;
use crate::sys::{Errno, memory, sched, signal, task};

static CREATE: Operation = Operation {
    name: "pthread_create",
    purpose: "have libc lay out a thread control block",
    hint: |_| "See pthread_create(3) for what this errno means.",
};

/// See [`Runtime::INLINE_PACKET_MAX`](crate::runtime::Runtime::INLINE_PACKET_MAX): a packet whose
/// closure and result take up to some 400 bytes.
pub(super) const INLINE_PACKET_MAX: usize = 512;

/// Bytes of the slot's stack that the TCB takes, and 8 KiB for the first frames and the
/// donor's: libc's minimum says how large TCB and static TLS are.
pub(super) fn tcb_reserve() -> usize {
    // Relaxed: every thread finds the same value.
    static TCB_RESERVE: AtomicUsize = AtomicUsize::new(0);
    match TCB_RESERVE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: a pure look-up.
            let minimum = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
            let minimum = usize::try_from(minimum).unwrap_or(0).max(16 * 1024);
            let tcb_reserve = minimum + 8 * 1024 + INLINE_PACKET_MAX + tls_snapshot::storage_size();
            TCB_RESERVE.store(tcb_reserve, Ordering::Relaxed);
            tcb_reserve
        }
        tcb_reserve => tcb_reserve,
    }
}

/// Held by the thread that examines the host: two at once would see each other's probes, and take
/// the one's place in libc's table of keys for the other's.
static PROBE_LOCK: RawMutex = RawMutex::new();

/// In the child of a fork: nobody examines here, whoever did in the parent.
pub(super) fn reset_probe_lock() {
    PROBE_LOCK.unlock();
}

/// Makes the first TCB of the process, from which the host is examined.
pub(super) fn init() -> Result<&'static Host, Error> {
    // Symbols before the lock, and in this thread: dlsym(3) waits for who runs a library's
    // constructors, and that may be the caller, or wait here for the lock.
    symbols::resolve_all();
    tls_images::look_up();
    super::pthread_keys::create_record_key()?;
    modules::register_atfork()?;
    PROBE_LOCK.lock();
    let host = match libc_layout::try_get() {
        Some(host) => Ok(host),
        None => probe_on_first_donor(),
    };
    PROBE_LOCK.unlock();
    host
}

fn probe_on_first_donor() -> Result<&'static Host, Error> {
    let stack = layout::DEFAULT_STACK + tcb_reserve();
    let slot = match CACHE.acquire(stack, slot::default_guard()) {
        Ok(Acquired::WithTcb(slot)) => {
            CACHE.release(slot);
            return libc_layout::try_get().ok_or(PROBE_FAILED);
        }
        Ok(Acquired::Uninit(slot)) => slot,
        Err(errno) => return Err(diagnosis::map_error(errno, stack)),
    };
    // SAFETY: the slot was just taken and has guards.
    match unsafe { create_tcb(slot) } {
        Ok(()) => {
            CACHE.release(slot);
            let host = libc_layout::try_get().ok_or(PROBE_FAILED)?;
            keep_libc_multithreaded(host)?;
            super::overflow::install();
            Ok(host)
        }
        Err(error) => {
            CACHE.release_uninit(slot);
            Err(error)
        }
    }
}

const PROBE_FAILED: Error = Error::unsupported(
    "this libc could not be examined from a thread of its own",
    "Use std::thread here, and report the libc's name and version.",
    None,
);

/// See [`Runtime::create_tcb`](crate::runtime::Runtime::create_tcb).
pub(super) unsafe fn create_tcb(slot: Slot) -> Result<(), Error> {
    slot.clear_tid().store(ALIVE, Ordering::Relaxed);
    // SAFETY: the slot is the caller's alone.
    unsafe { (*slot.tcb()).on_donor = None };
    // The donor must run no handler of the application. 32 and 33 are libc's own and stay open:
    // setuid waits for every thread's answer to 33.
    let old = signal::block(SigSet::ALL_BUT_LIBC);
    // SAFETY: the slot is the caller's alone.
    let created = unsafe { pthread_create_on(slot) };
    signal::set_mask(old);
    if let Err(errno) = created {
        slot.clear_tid().store(0, Ordering::Relaxed);
        return Err(match errno {
            Errno::EAGAIN | Errno::ENOMEM => diagnosis::pthread_error(errno),
            errno => limits::refused(Preset::RAWTHREAD.flags, errno)
                .unwrap_or(Error::from_operation(&CREATE, errno)),
        });
    }
    wait_for_donor(slot);
    // SAFETY: the donor is gone and left the TCB; Acquire in the wait ordered it.
    if unsafe { (*slot.tcb()).thread_pointer.is_null() } {
        Err(PROBE_FAILED)
    } else {
        Ok(())
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
    // SAFETY: the slot is the caller's alone until the donor exists.
    unsafe {
        (*tcb).on_donor = Some((entry, argument));
        pthread_create_on(slot)?;
    }
    // The donor may not have run yet, but libc has the kernel store its tid before it exists.
    // SAFETY: a full host's handle is the address of libc's description of the thread, which lies
    // in the slot; the caller wrote the handle just now.
    let tid = unsafe {
        let tid_field = libc_layout::tid_field_of((*tcb).pthread);
        (*tid_field).load(Ordering::Relaxed)
    };
    Ok(tid)
}

/// # Safety
/// As `create_tcb`.
unsafe fn pthread_create_on(slot: Slot) -> Result<(), Errno> {
    let (base, len) = slot.region().stack();
    let len = len - INLINE_PACKET_MAX - tls_snapshot::storage_size();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut handle = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: pthread_attr_setstack's memory is the slot's stack, mapped for good; the donor gets
    // the slot's permanent cell.
    unsafe {
        let attributes = attributes.as_mut_ptr();
        errno_result(libc::pthread_attr_init(attributes))?;
        let created = errno_result(libc::pthread_attr_setstack(attributes, base.cast(), len))
            .and_then(|()| {
                let argument = ptr::from_ref(slot).cast_mut().cast();
                errno_result(libc::pthread_create(
                    handle.as_mut_ptr(),
                    attributes,
                    donor_main,
                    argument,
                ))
            });
        libc::pthread_attr_destroy(attributes);
        created?;
        // The donor does not touch this field.
        (&raw mut (*slot.tcb()).pthread).write(handle.assume_init());
    }
    Ok(())
}

fn errno_result(returned: i32) -> Result<(), Errno> {
    if returned == 0 {
        Ok(())
    } else {
        Err(Errno::new(returned))
    }
}

/// Runs once on each slot, as an ordinary thread of libc's.
extern "C" fn donor_main(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create_on` passed the slot's permanent cell.
    let slot: Slot = unsafe { &*argument.cast() };
    // SAFETY: `pthread_create_on` left room for it; nothing has run here yet.
    unsafe { tls_snapshot::capture(slot) };
    let (base, len) = slot.region().stack();
    let end = base as usize + len;
    let host = match libc_layout::try_get() {
        Some(host) => Some(host),
        None => libc_layout::probe(end).and_then(libc_layout::publish).ok(),
    };
    let here = ptr::from_ref(&host) as usize;
    let tcb = slot.tcb();
    let thread_pointer = arch::thread_pointer();
    let Some(host) = host.filter(|_| here > base as usize && here < end) else {
        // SAFETY: the creator waits; the field is the donor's to write. Null says "no TCB".
        unsafe {
            (&raw mut (*tcb).thread_pointer).write(ptr::null_mut());
            (&raw mut (*tcb).donor_tid).write(task::tid());
        }
        report_exiting(slot);
        return ptr::null_mut();
    };
    if host.layout.can_reset_tls && !tls_snapshot::is_needed() {
        tls_images::keep(slot);
    }
    let layout = &host.layout;
    let full = host.support() == Support::Full;
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
        // For guests, whose donor's frames die with it.
        (&raw mut (*tcb).stack_top).write(here & !0xf);
    }
    if !full {
        report_exiting(slot);
        return ptr::null_mut();
    }
    // SAFETY: the slot's word outlives this thread; the TCB is this thread's; nobody needs the
    // thread back until somebody resumes the frame; a launch's entry is its caller's to vouch for.
    unsafe {
        task::set_tid_address(slot.clear_tid().as_ptr());
        let frame = &raw mut (*tcb).frame;
        match (*tcb).on_donor {
            Some((entry, argument)) => {
                super::install_signal_stack(slot);
                arch::save_context(frame, entry, argument);
            }
            None => {
                exit::leave_setxid(&*tid_field, &*cancelhandling);
                arch::save_context(frame, donor_exit, ptr::null_mut());
            }
        }
    }
    ptr::null_mut()
}

/// The end of a donor that nobody launched.
unsafe extern "C" fn donor_exit(_: *mut u8) -> ! {
    // SAFETY: its frame is parked and it has departed.
    unsafe { arch::exit_thread() }
}

/// Tells the creator that a donor which libc ends itself is on its way out.
fn report_exiting(slot: Slot) {
    const LEAVING: u32 = 2;
    // Release: the TCB's fields before the word.
    slot.clear_tid().store(LEAVING, Ordering::Release);
    futex::wake(slot.clear_tid().as_ptr(), 1, Sharing::Shared);
}

/// Returns when the donor's kernel thread is gone, its TCB written.
fn wait_for_donor(slot: Slot) {
    let word = slot.clear_tid();
    for _ in 0..200 {
        if word.load(Ordering::Acquire) != ALIVE {
            break;
        }
        core::hint::spin_loop();
    }
    while word.load(Ordering::Acquire) == ALIVE {
        let _ = futex::wait(word, ALIVE, None, Sharing::Shared);
    }
    if word.load(Ordering::Acquire) == 0 {
        return;
    }
    // libc ends this donor and owns its clear-tid word: ask the kernel until the tid is gone.
    // SAFETY: the donor wrote its tid before the word changed.
    let tid = unsafe { (*slot.tcb()).donor_tid };
    let pid = task::pid();
    let mut pauses = Pauses::new();
    while signal::send_to_thread(pid, tid, 0) != Err(Errno::ESRCH) {
        pauses.pause();
    }
    word.store(0, Ordering::Release);
}

/// An unknown libc may drop its locks when its last own thread ends: keep one that sleeps.
fn keep_libc_multithreaded(host: &Host) -> Result<(), Error> {
    if host.support() == Support::Full {
        return Ok(());
    }
    extern "C" fn sleep(_: *mut c_void) -> *mut c_void {
        loop {
            sched::sleep(core::time::Duration::from_secs(1 << 30));
        }
    }
    let old = signal::block(SigSet::ALL_BUT_LIBC);
    let mut handle = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: default attributes; the function never returns.
    let created = errno_result(unsafe {
        libc::pthread_create(handle.as_mut_ptr(), ptr::null(), sleep, ptr::null_mut())
    });
    signal::set_mask(old);
    created.map_err(|errno| Error::from_operation(&CREATE, errno))
}

/// A page that fork empties: its first word is 0 in a child that has not noticed yet.
///
/// | value of the word | meaning |
/// |---|---|
/// | 0 | this process was forked, or never asked |
/// | 1 | this process's lists are its own |
///
/// Null until the first thread is asked for. Relaxed: a child begins with one thread, which has
/// noticed before it makes others.
static WIPED_ON_FORK: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// How often a fork was noticed on the way from the first process to this one. Relaxed: changed by
/// a child that has one thread.
static FORK_GENERATION: AtomicU32 = AtomicU32::new(0);

pub(super) fn fork_generation() -> u32 {
    FORK_GENERATION.load(Ordering::Relaxed)
}

/// Forgets idle TCBs in a forked child: its libc rebuilt its lists with the caller alone.
///
/// # Errors
/// A guest's sleeping pthread could not be made anew.
pub(super) fn detect_fork() -> Result<(), Error> {
    // SAFETY: the page is never unmapped.
    match unsafe { WIPED_ON_FORK.load(Ordering::Acquire).as_ref() } {
        Some(word) if word.load(Ordering::Relaxed) == 1 => {}
        Some(word) => {
            CACHE.clear_after_fork();
            if let Some(host) = libc_layout::try_get() {
                keep_libc_multithreaded(host)?;
            }
            FORK_GENERATION.fetch_add(1, Ordering::Relaxed);
            word.store(1, Ordering::Relaxed);
        }
        None => {
            // Without the page (a kernel before 4.14) a forked child keeps stale TCBs:
            // setuid would miss its threads, nothing worse.
            let page = memory::page_size();
            let Ok(mapped) = memory::map(page) else {
                return Ok(());
            };
            let mapped = mapped.as_ptr();
            // SAFETY: a fresh page of ours; zero is a valid AtomicU32.
            unsafe {
                let _ = memory::madvise(mapped, page, libc::MADV_WIPEONFORK);
                (*mapped.cast::<AtomicU32>()).store(1, Ordering::Relaxed);
            }
            let published = WIPED_ON_FORK.compare_exchange(
                ptr::null_mut(),
                mapped.cast(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            if published.is_err() {
                // SAFETY: nobody saw it.
                let _ = unsafe { memory::unmap(mapped, page) };
            }
        }
    }
    Ok(())
}
