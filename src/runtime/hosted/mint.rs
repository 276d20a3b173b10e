//! Seeds: libc makes a thread on a slot's memory, and its identity stays when it leaves.
#![allow(unsafe_code, reason = "has libc lay out a TCB on memory of ours")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::host::{self, Citizenship, Host};
use super::{CACHE, leave, loader, snapshot, symbols};
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::runtime::Slot;
use crate::stack::layout;
use crate::stack::slot::{self, OCCUPIED, Taken};
use crate::sync::raw::RawMutex;
use crate::sys::arch::{self, ChildEntry};
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::SigSet;
use crate::sys::{Errno, memory, sched, signal, task};

static CREATE: Operation = Operation {
    name: "pthread_create",
    purpose: "have libc lay out a thread control block",
    hint: |_| "See pthread_create(3) for what this errno means.",
};

/// See [`Runtime::LAUNCH_ROOM`](crate::runtime::Runtime::LAUNCH_ROOM): a packet whose closure and
/// result take up to some 400 bytes.
pub(super) const LAUNCH_ROOM: usize = 512;

/// Bytes of the slot's stack that the identity takes, and 8 KiB for the first frames and the
/// seed's: libc's minimum says how large TCB and static TLS are.
pub(super) fn headroom() -> usize {
    // Relaxed: every thread finds the same value.
    static HEADROOM: AtomicUsize = AtomicUsize::new(0);
    match HEADROOM.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: a pure look-up.
            let minimum = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
            let minimum = usize::try_from(minimum).unwrap_or(0).max(16 * 1024);
            let headroom = minimum + 8 * 1024 + LAUNCH_ROOM + snapshot::room();
            HEADROOM.store(headroom, Ordering::Relaxed);
            headroom
        }
        headroom => headroom,
    }
}

/// Held by the thread that examines the host: two at once would see each other's probes, and take
/// the one's place in libc's table of keys for the other's.
static EXAMINING: RawMutex = RawMutex::new();

/// In the child of a fork: nobody examines here, whoever did in the parent.
pub(super) fn forget_examiner() {
    EXAMINING.unlock();
}

/// Makes the first identity of the process, from which the host is examined.
pub(super) fn first() -> Result<&'static Host, Error> {
    // Symbols before the lock, and in this thread: dlsym(3) waits for who runs a library's
    // constructors, and that may be the caller, or wait here for the lock.
    symbols::look_up();
    super::keys::create_current()?;
    loader::take_care_of_forks()?;
    EXAMINING.lock();
    let host = match host::known() {
        Some(host) => Ok(host),
        None => examine_from_first_seed(),
    };
    EXAMINING.unlock();
    host
}

fn examine_from_first_seed() -> Result<&'static Host, Error> {
    let stack = layout::DEFAULT_STACK + headroom();
    let slot = match CACHE.take(stack, slot::default_guard()) {
        Ok(Taken::Ready(slot)) => {
            CACHE.put(slot);
            return host::known().ok_or(NOT_EXAMINED);
        }
        Ok(Taken::Blank(slot)) => slot,
        Err(errno) => return Err(diagnosis::map_error(errno, stack)),
    };
    // SAFETY: the slot was just taken and has guards.
    match unsafe { mint(slot) } {
        Ok(()) => {
            CACHE.put(slot);
            let host = host::known().ok_or(NOT_EXAMINED)?;
            keep_libc_multithreaded(host)?;
            super::overflow::install();
            Ok(host)
        }
        Err(error) => {
            CACHE.put_blank(slot);
            Err(error)
        }
    }
}

const NOT_EXAMINED: Error = Error::unsupported(
    "this libc could not be examined from a thread of its own",
    "Use std::thread here, and report the libc's name and version.",
    None,
);

/// See [`Runtime::mint`](crate::runtime::Runtime::mint).
pub(super) unsafe fn mint(slot: Slot) -> Result<(), Error> {
    slot.clear_tid().store(OCCUPIED, Ordering::Relaxed);
    // SAFETY: the slot is the caller's alone.
    unsafe { (*slot.identity()).launch = None };
    // The seed must run no handler of the application. 32 and 33 are libc's own and stay open:
    // setuid waits for every thread's answer to 33.
    let old = signal::block(SigSet::ALL_BUT_LIBC);
    // SAFETY: the slot is the caller's alone.
    let created = unsafe { create(slot) };
    signal::set_mask(old);
    if let Err(errno) = created {
        slot.clear_tid().store(0, Ordering::Relaxed);
        return Err(match errno {
            Errno::EAGAIN | Errno::ENOMEM => diagnosis::pthread_error(errno),
            errno => Error::from_operation(&CREATE, errno),
        });
    }
    wait_for_seed(slot);
    // SAFETY: the seed is gone and left the identity; Acquire in the wait ordered it.
    if unsafe { (*slot.identity()).thread_pointer.is_null() } {
        Err(NOT_EXAMINED)
    } else {
        Ok(())
    }
}

/// See [`Runtime::launch`](crate::runtime::Runtime::launch): the seed, once it has noted its
/// identity, is the first thread. It is libc's own thread until it leaves by the same way as all
/// that follow it; setuid and fork see nothing unusual.
pub(super) unsafe fn launch(
    slot: Slot,
    entry: ChildEntry,
    argument: *mut u8,
) -> Result<i32, Errno> {
    let identity = slot.identity();
    // SAFETY: the slot is the caller's alone until the seed exists.
    unsafe {
        (*identity).launch = Some((entry, argument));
        create(slot)?;
    }
    // The seed may not have run yet, but libc has the kernel store its tid before it exists.
    // SAFETY: a full host's handle is the address of libc's description of the thread, which lies
    // in the slot; the caller wrote the handle just now.
    let tid = unsafe {
        let tid_field = host::tid_field_of((*identity).pthread);
        (*tid_field).load(Ordering::Relaxed)
    };
    Ok(tid)
}

/// # Safety
/// As `mint`.
unsafe fn create(slot: Slot) -> Result<(), Errno> {
    let (base, len) = slot.region().stack();
    let len = len - LAUNCH_ROOM - snapshot::room();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut handle = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: pthread_attr_setstack's memory is the slot's stack, mapped for good; the seed gets
    // the slot's permanent cell.
    unsafe {
        let attributes = attributes.as_mut_ptr();
        check(libc::pthread_attr_init(attributes))?;
        let created =
            check(libc::pthread_attr_setstack(attributes, base.cast(), len)).and_then(|()| {
                let argument = ptr::from_ref(slot).cast_mut().cast();
                check(libc::pthread_create(
                    handle.as_mut_ptr(),
                    attributes,
                    seed,
                    argument,
                ))
            });
        libc::pthread_attr_destroy(attributes);
        created?;
        // The seed does not touch this field.
        (&raw mut (*slot.identity()).pthread).write(handle.assume_init());
    }
    Ok(())
}

fn check(returned: i32) -> Result<(), Errno> {
    if returned == 0 {
        Ok(())
    } else {
        Err(Errno::new(returned))
    }
}

/// Runs once on each slot, as an ordinary thread of libc's.
extern "C" fn seed(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `create` passed the slot's permanent cell.
    let slot: Slot = unsafe { &*argument.cast() };
    // SAFETY: `create` left room for it; nothing has run here yet.
    unsafe { snapshot::take(slot) };
    let (base, len) = slot.region().stack();
    let end = base as usize + len;
    let host = match host::known() {
        Some(host) => Some(host),
        None => host::examine(end).and_then(host::publish).ok(),
    };
    let here = ptr::from_ref(&host) as usize;
    let identity = slot.identity();
    let thread_pointer = arch::thread_pointer();
    let Some(host) = host.filter(|_| here > base as usize && here < end) else {
        // SAFETY: the creator waits; the field is the seed's to write. Null says "no identity".
        unsafe {
            (&raw mut (*identity).thread_pointer).write(ptr::null_mut());
            (&raw mut (*identity).seed_tid).write(task::tid());
        }
        leave_to_libc(slot);
        return ptr::null_mut();
    };
    let facts = &host.facts;
    let full = host.citizenship() == Citizenship::Full;
    let tid_field = thread_pointer
        .wrapping_offset(facts.tid_offset)
        .cast::<AtomicI32>();
    let mark_word = if full {
        thread_pointer
            .wrapping_offset(facts.mark_offset)
            .cast::<AtomicU32>()
    } else {
        ptr::null_mut()
    };
    // SAFETY: as above, field by field, for `create` writes `pthread` meanwhile.
    unsafe {
        (&raw mut (*identity).thread_pointer).write(thread_pointer);
        (&raw mut (*identity).tid_field).write(tid_field);
        (&raw mut (*identity).mark_word).write(mark_word);
        (&raw mut (*identity).robust_head).write(facts.robust_head.of(thread_pointer));
        (&raw mut (*identity).libc_clear_tid).write(facts.clear_tid.of(thread_pointer).cast());
        (&raw mut (*identity).seed_tid).write((*tid_field).load(Ordering::Relaxed));
        // For guests, whose seed's frames die with it.
        (&raw mut (*identity).stack_top).write(here & !0xf);
    }
    if !full {
        leave_to_libc(slot);
        return ptr::null_mut();
    }
    // SAFETY: the slot's word outlives this thread; the TCB is this thread's; nobody needs the
    // thread back until somebody resumes the frame; a launch's entry is its caller's to vouch for.
    unsafe {
        task::set_tid_address(slot.clear_tid().as_ptr());
        let frame = &raw mut (*identity).frame;
        match (*identity).launch {
            Some((entry, argument)) => {
                super::install_signal_stack(slot);
                arch::save_context(frame, entry, argument);
            }
            None => {
                leave::depart(&*tid_field, &*mark_word);
                arch::save_context(frame, vanish, ptr::null_mut());
            }
        }
    }
    ptr::null_mut()
}

/// The end of a seed that nobody launched.
unsafe extern "C" fn vanish(_: *mut u8) -> ! {
    // SAFETY: its frame is parked and it has departed.
    unsafe { arch::exit_thread() }
}

/// Tells the creator that a seed which libc ends itself is on its way out.
fn leave_to_libc(slot: Slot) {
    const LEAVING: u32 = 2;
    // Release: the identity's fields before the word.
    slot.clear_tid().store(LEAVING, Ordering::Release);
    futex::wake(slot.clear_tid().as_ptr(), 1, Sharing::Shared);
}

/// Returns when the seed's kernel thread is gone, its identity written.
fn wait_for_seed(slot: Slot) {
    let word = slot.clear_tid();
    for _ in 0..200 {
        if word.load(Ordering::Acquire) != OCCUPIED {
            break;
        }
        core::hint::spin_loop();
    }
    while word.load(Ordering::Acquire) == OCCUPIED {
        let _ = futex::wait(word, OCCUPIED, None, Sharing::Shared);
    }
    if word.load(Ordering::Acquire) == 0 {
        return;
    }
    // libc ends this seed and owns its clear-tid word: ask the kernel until the tid is gone.
    // SAFETY: the seed wrote its tid before the word changed.
    let tid = unsafe { (*slot.identity()).seed_tid };
    let pid = task::pid();
    while signal::send_to_thread(pid, tid, 0) != Err(Errno::ESRCH) {
        sched::yield_now();
    }
    word.store(0, Ordering::Release);
}

/// An unknown libc may drop its locks when its last own thread ends: keep one that sleeps.
fn keep_libc_multithreaded(host: &Host) -> Result<(), Error> {
    if host.citizenship() == Citizenship::Full {
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
    let created = check(unsafe {
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
static FORK_WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// How often a fork was noticed on the way from the first process to this one. Relaxed: changed by
/// a child that has one thread.
static EPOCH: AtomicU32 = AtomicU32::new(0);

pub(super) fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Forgets idle identities in a forked child: its libc rebuilt its lists with the caller alone.
///
/// # Errors
/// A guest's sleeping pthread could not be made anew.
pub(super) fn after_fork() -> Result<(), Error> {
    // SAFETY: the page is never unmapped.
    match unsafe { FORK_WORD.load(Ordering::Acquire).as_ref() } {
        Some(word) if word.load(Ordering::Relaxed) == 1 => {}
        Some(word) => {
            CACHE.forget();
            if let Some(host) = host::known() {
                keep_libc_multithreaded(host)?;
            }
            EPOCH.fetch_add(1, Ordering::Relaxed);
            word.store(1, Ordering::Relaxed);
        }
        None => {
            // Without the page (a kernel before 4.14) a forked child keeps stale identities:
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
            let published = FORK_WORD.compare_exchange(
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
