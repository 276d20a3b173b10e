//! What must happen once before the first thread: libc is probed, its fork and signals are prepared.
#![allow(unsafe_code, reason = "creates the first TCB")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::libc_layout::{self, Host, Support};
use super::tcb::{CACHE, Slot};
use super::tcb_reserve::tcb_reserve;
use super::{
    atfork, destroy, donor, exit_lock, first_donor, libc_thread, loader_lock, overflow,
    pthread_keys, symbols, tls_images,
};
use crate::diagnosis;
use crate::error::Error;
use crate::primitive::own_tid;
use crate::stack::cache::{self, Acquired};
use crate::stack::layout;

/// The host; the first call creates a donor that probes libc from inside.
pub(super) fn get_or_probe() -> Result<&'static Host, Error> {
    match libc_layout::try_get() {
        Some(host) if IS_DONE.load(Ordering::Acquire) => Ok(host),
        _ => init(false).map(|(host, _)| host),
    }
}

/// As [`get_or_probe`]; also the slot whose donor waits to run a thread, if this call made one.
pub(super) fn get_or_probe_to_run() -> Result<Option<Slot>, Error> {
    match libc_layout::try_get() {
        Some(_) if IS_DONE.load(Ordering::Acquire) => Ok(None),
        _ => init(true).map(|(_, waiting)| waiting),
    }
}

/// Whether all of [`init`] was done; the host is known earlier, to the first donor. Acquire and
/// Release: what was done before what follows.
static IS_DONE: AtomicBool = AtomicBool::new(false);

/// The host, and the slot whose donor waits.
type Probed = (&'static Host, Option<Slot>);

/// Makes the first donor of the process, which probes libc, and then waits if it is to and can, or leaves
/// the first TCB.
fn init(wait: bool) -> Result<Probed, Error> {
    // Symbols before the lock, and in this thread: dlsym(3) waits for the thread that runs a
    // library's constructors, which may be the caller, or wait here for the lock.
    symbols::resolve_all();
    if !loader_lock::notice_lost() {
        tls_images::look_up();
    }
    pthread_keys::set_end_hook(libc_thread::on_key_destructor);
    pthread_keys::create_record_key()?;
    atfork::register_atfork()?;
    let guard = libc_layout::lock_probe();
    let probed = match libc_layout::try_get() {
        Some(host) if IS_DONE.load(Ordering::Acquire) => Ok((host, None)),
        // The host may be known and what follows it not done: after an error, and in the child of a fork that
        // came in between.
        // Then no donor waits: there is one that examines libc.
        host => probe_on_first_donor(wait && host.is_none()),
    };
    if probed.is_ok() {
        IS_DONE.store(true, Ordering::Release);
    }
    drop(guard);
    if probed.is_ok() {
        own_tid::register(libc_layout::cached_tid);
    }
    probed
}

fn probe_on_first_donor(wait: bool) -> Result<Probed, Error> {
    let stack = layout::DEFAULT_STACK + tcb_reserve();
    CACHE.touch(stack, cache::default_guard());
    let slot = match CACHE.acquire(stack, cache::default_guard()) {
        Ok(Acquired::WithTcb(slot)) => {
            CACHE.put_idle(slot);
            return Ok((after_probe()?, None));
        }
        Ok(Acquired::Uninit(slot)) => slot,
        Err(errno) => return Err(diagnosis::map_error(errno, stack)),
    };
    first_donor::want(wait);
    // SAFETY: the slot was just taken and has guards.
    let created = unsafe { donor::create(slot) };
    if !matches!(created, Ok(true)) {
        first_donor::want(false);
    }
    match created {
        Ok(waits) => {
            // SAFETY: the slot is this caller's alone and has a TCB, whose donor has exited, or waits; its
            // handle was given to no one.
            unsafe {
                let (thread_pointer, handle) =
                    ((*slot.tcb()).thread_pointer, (*slot.tcb()).pthread);
                exit_lock::prove(thread_pointer, handle);
            }
            if !waits {
                CACHE.put_idle(slot);
            }
            Ok((after_probe()?, waits.then_some(slot)))
        }
        Err(error) => {
            // SAFETY: the slot is this caller's.
            if !unsafe { (*slot.tcb()).lost } {
                CACHE.put_uninit(slot);
            }
            Err(error)
        }
    }
}

/// What is done once when the host is known; the caller holds the lock of the probe.
fn after_probe() -> Result<&'static Host, Error> {
    let host = libc_layout::try_get().ok_or(PROBE_FAILED)?;
    donor::keep_libc_multithreaded(host)?;
    if libc_thread::is_chosen() && symbols::has_sanitizer() {
        join_at_exit();
    }
    overflow::install();
    Ok(host)
}

/// Has the threads that have ended by then, and whose handles were dropped, joined at the process's end:
/// ThreadSanitizer would report them as leaks.
fn join_at_exit() {
    extern "C" fn join_idle() {
        CACHE.trim(destroy::destroy_tcb);
    }
    // SAFETY: any thread may call the function, at any time. Without memory for it there are reports.
    unsafe { libc::atexit(join_idle) };
}

const PROBE_FAILED: Error = Error::unsupported(
    "this libc could not be examined from a thread of its own",
    "Use std::thread here, and report the libc's name and version.",
    None,
);

/// Whether nothing private of libc may be written.
pub(super) fn is_partial() -> bool {
    !matches!(get_or_probe().map(Host::support), Ok(Support::Full))
}
