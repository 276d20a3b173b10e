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
//! which `std::thread::park` sleeps where no token comes (`library/std/src/sys/thread_local/guard`). So
//! the thread takes the token back when it parks and the key says that the handle is gone. Where the key
//! is not known, a thread-local takes it back: its destructor comes before the key's, and before those of
//! thread-locals that are older, in which the two crates' parkers are then two: `unpark` of this crate's gives
//! the token to both, std's to std's.
//!
//! On musl, and in a static program, the key does not tell whether the handle is gone, once the thread's destructors run. If it is not,
//! std's parker has the tokens; if it is, a park by std ends the process. So the token stays with std, and a
//! park sleeps for [`UNSURE`] and returns, as a park may without cause.

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
        return is_with_std(record);
    }
    // After the closure std's handle may be gone, and asking for it would panic.
    if record.state().is_complete() || !can_ask_std() {
        return false;
    }
    parker.hand_over(|| {
        let handle = ask_std()?;
        let ends_unseen = std_key::is_dropped().is_none();
        (!ends_unseen || TAKE_BACK.try_with(|_| ()).is_ok()).then_some(StdHandle(handle))
    })
}

/// Whether std's parker, which was given the token, is still the thread's; takes the token back if not.
#[cfg(feature = "std")]
fn is_with_std(record: &ThreadInner) -> bool {
    let dropped = std_key::is_dropped() == Some(true);
    if dropped {
        record.parker().take_back();
    }
    !dropped
}

/// std's handle of the calling thread; `None` in a thread that std did not make, in a destructor of a pthread
/// key that comes after std's: std panics there.
#[cfg(feature = "std")]
pub(super) fn ask_std() -> Option<std::thread::Thread> {
    std::panic::catch_unwind(|| std_key::learn(std::thread::current)).ok()
}

/// Whether the calling thread, whose record this is, sleeps in std's parker.
#[cfg(feature = "std")]
fn parks_by_std(record: &ThreadInner) -> bool {
    if record.parker().is_handed_over() {
        return is_with_std(record);
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

/// Whether there is what std's handle and a destructor need, with room to spare, of Rust's allocator and of
/// libc's: neither std nor libc has another answer to want of memory than to end the process. What another
/// thread takes in between is not ruled out.
#[cfg(feature = "std")]
fn has_memory() -> bool {
    use crate::primitive::fallible;
    use core::alloc::Layout;

    /// The handle; a list of destructors, where libc has none; some of any size.
    const WANTED: [Layout; 3] = [
        Layout::new::<[u64; 8]>(),
        Layout::new::<[u64; 64]>(),
        Layout::new::<[u64; 512]>(),
    ];
    fallible::has_memory(&WANTED) && libc_has_memory()
}

/// Whether libc has an entry of its list of destructors, and a second block of a thread's keys.
#[cfg(feature = "std")]
#[allow(unsafe_code, reason = "calls libc's allocator")]
fn libc_has_memory() -> bool {
    // SAFETY: frees what it got, or null. The addresses are looked at: see `fallible::has_memory`.
    unsafe {
        let places = core::hint::black_box([libc::malloc(64), libc::malloc(1024)]);
        for place in places {
            libc::free(place);
        }
        places.iter().all(|place| !place.is_null())
    }
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

/// How long a park sleeps where the thread may have no parker.
#[cfg(feature = "std")]
const UNSURE: Duration = Duration::from_millis(1);

#[cfg(feature = "std")]
fn park_by_std(timeout: Option<Duration>) {
    if std_key::is_dropped_unseen() {
        return std::thread::sleep(timeout.map_or(UNSURE, |timeout| timeout.min(UNSURE)));
    }
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
