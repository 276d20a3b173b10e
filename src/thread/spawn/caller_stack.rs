//! Whether threads can run on memory of the caller's own.
#![allow(unsafe_code, reason = "lets the runtime look at a thread's slot")]

use super::config::{Options, Retry};
use super::hooks::HookChoice;
use super::prepare;
use super::setup::StartupActions;
use crate::error::{Error, Limit};
use crate::flags::CloneFlags;
use crate::runtime::{Name, Rt, Runtime, current, occupant};
use crate::stack::cache;
use crate::sys::Errno;
use crate::thread::join::exit_observer::ExitObserver;
use crate::thread::join::handle::JoinHandle;

/// Finds out, once and on a thread made for it, whether the runtime can name memory of the
/// caller's own as a thread's stack, so that code that asks libc for the stack gets the right one.
///
/// # Errors
/// `Unsupported` if not; why no thread could be made; ENOMEM, and the next call looks again.
pub(in crate::thread) fn ensure_supported() -> Result<(), Error> {
    Rt::ensure_init()?;
    if Rt::is_served_by_libc() {
        // pthread_attr_setstack(3) says it.
        return Ok(());
    }
    if Rt::can_set_stack().is_none() {
        let learn = || {
            // SAFETY: the type of the runtime's slots; the calling thread has no other stack.
            unsafe {
                if let Some(slot) = occupant::slot_of(&current::current()) {
                    Rt::learn_to_set_stack(slot);
                }
            }
        };
        let options = Options {
            name: Name::NONE,
            stack_size: 64 * 1024,
            guard_size: cache::default_guard(),
            retry: Retry::NEVER,
            stack: None,
            flags: CloneFlags::empty(),
            cgroup: 0,
            refusal: None,
            mask: None,
            actions: &mut StartupActions::none(),
            observer: ExitObserver::None,
            hooks: HookChoice::Leave,
        };
        // SAFETY: the closure borrows nothing.
        let spawned = unsafe { prepare::spawn(options, learn)? };
        // Joined by its handle, whatever comes of it.
        let _ = JoinHandle::new(spawned).join();
    }
    match Rt::can_set_stack() {
        Some(true) => Ok(()),
        // libc had no memory for its answer.
        None => Err(Error::at_limit(Limit::Memory, None, Errno::ENOMEM)),
        Some(false) => Err(Error::unsupported(
            "this libc's word of where a thread's stack lies is not found, so pthread_getattr_np \
             would tell garbage collectors and stack checks of another stack",
            "Leave Builder::stack out: stack_size sets how much memory of this crate's there is.",
            None,
        )),
    }
}
