//! Parks the calling thread in std's parker, where std knows the thread, so that a token given by
//! either crate's handle wakes it.
//!
//! std makes its handle of a thread when the thread first asks for it, in the thread itself; no
//! other thread can make it. So a thread hands its token over when it first asks this crate for its
//! own handle, or when it parks and may have a handle of std's already. A thread that only parks takes
//! no memory for it: [`std_key`] tells that std does not know it. Where there is no memory for std's
//! handle the token stays here: to ask for it would end the process.
//!
//! std's handle is gone before the thread: std forgets it in the destructor of a pthread key, after
//! which `std::thread::park` sleeps where no token comes. Thread-locals with destructors end before
//! (`library/std/src/sys/thread_local/guard`), so one of them takes the token back.

use core::time::Duration;

use super::record::ThreadInner;
#[cfg(feature = "std")]
use super::std_key;
use crate::sys::futex::Deadline;

/// Has std's parker keep the calling thread's token, whose record this is; whether it does.
#[cfg(feature = "std")]
pub(crate) fn hand_over(record: &ThreadInner) -> bool {
    use super::parker::StdHandle;

    let parker = record.parker();
    if parker.is_handed_over() {
        return true;
    }
    // After the closure std's handle may be gone, and asking for it would panic.
    if record.state().is_complete() || !has_memory() || TAKE_BACK.try_with(|_| ()).is_err() {
        return false;
    }
    parker.hand_over(|| StdHandle(std_key::learn(std::thread::current)))
}

/// Whether the calling thread, whose record this is, sleeps in std's parker.
#[cfg(feature = "std")]
fn parks_by_std(record: &ThreadInner) -> bool {
    if record.parker().is_handed_over() {
        return true;
    }
    let _turn = (!std_key::is_settled()).then(std_key::Turn::wait);
    std_key::may_be_set() && hand_over(record)
}

/// There is no other parker.
#[cfg(not(feature = "std"))]
fn parks_by_std(_record: &ThreadInner) -> bool {
    false
}

/// Whether std can be asked for its handle of the calling thread: it has one, or there is memory for it.
#[cfg(feature = "std")]
pub(super) fn can_ask_std() -> bool {
    std_key::is_set() || has_memory()
}

/// Whether the allocator has what std's handle and a destructor need, with room to spare: neither std
/// nor libc has another answer to want of memory than to end the process. What another thread takes
/// in between is not ruled out.
#[cfg(feature = "std")]
fn has_memory() -> bool {
    std::vec::Vec::<u8>::new().try_reserve_exact(4096).is_ok()
}

/// There is no other parker.
#[cfg(not(feature = "std"))]
pub(crate) fn hand_over(_record: &ThreadInner) -> bool {
    false
}

/// Sleeps until the calling thread has a token, whose record this is, and takes it.
pub(crate) fn park(record: &ThreadInner, timeout: Option<Duration>) {
    if parks_by_std(record) {
        park_by_std(timeout);
    } else {
        // A deadline that the clock cannot express is as good as none.
        record.parker().park(timeout.and_then(Deadline::after));
    }
}

#[cfg(feature = "std")]
fn park_by_std(timeout: Option<Duration>) {
    match timeout {
        None => std::thread::park(),
        Some(timeout) => std::thread::park_timeout(timeout),
    }
}

/// Is not called: [`hand_over`] says no.
#[cfg(not(feature = "std"))]
fn park_by_std(_timeout: Option<Duration>) {}

#[cfg(feature = "std")]
struct TakeBack;

#[cfg(feature = "std")]
std::thread_local!(static TAKE_BACK: TakeBack = const { TakeBack });

#[cfg(feature = "std")]
impl Drop for TakeBack {
    fn drop(&mut self) {
        use super::api::Runtime;
        use super::chosen::Rt;

        #[allow(unsafe_code, reason = "reads the calling thread's record")]
        // SAFETY: null, or the calling thread's record, which is permanent memory (RECORD-3).
        let record = unsafe { Rt::current().as_ref() };
        if let Some(record) = record {
            record.parker().take_back();
        }
    }
}
