//! std's extension of handles (`std::os::unix::thread::JoinHandleExt`): libc's name of a thread.
#![allow(unsafe_code, reason = "asks the runtime for libc's handle")]

use std::os::unix::thread::{JoinHandleExt, RawPthread};

use super::join::handle::JoinHandle;
use super::join::membership::Membership;
use crate::runtime::hosted;

/// The thread's `pthread_t`, for [`JoinHandle`] and [`ScopedJoinHandle`](crate::ScopedJoinHandle).
/// Feature `std`.
///
/// It works with `pthread_kill(3)`, `pthread_setname_np(3)`, `pthread_getcpuclockid(3)`,
/// `pthread_setaffinity_np(3)`, `pthread_setschedparam(3)` and their kin where the support is `Full` or
/// `Libc`; with `Partial` libc takes the thread for one that has ended. It must not be passed to
/// `pthread_join`, `pthread_detach` or `pthread_cancel`: the handle joins the thread.
///
/// `as_pthread_t` is good as long as the handle, also when the thread has ended: the handle keeps the
/// slot in which libc's thread control block lies. Of a task of [`warm`](crate::warm) it is the
/// worker's, which is good until the task has ended (`is_finished`).
///
/// `into_pthread_t` gives up the handle as `mem::forget` does: nothing can join the thread any more, its
/// result is not dropped, and its slot is never used again, so the `pthread_t` stays good (but for a
/// task's, as above) until the process ends. Where std's is to be joined by `pthread_join`, use
/// [`JoinHandle::join`].
///
/// ```
/// use std::os::unix::thread::JoinHandleExt;
///
/// let thread = rawthread::spawn(rawthread::park);
/// let mut clock = 0;
/// // SAFETY: the handle is there, so the thread's block is.
/// let returned = unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) };
/// assert_eq!(returned, 0);
/// thread.thread().unpark();
/// thread.join().unwrap();
/// ```
impl<T, S: Membership> JoinHandleExt for JoinHandle<T, S> {
    fn as_pthread_t(&self) -> RawPthread {
        // SAFETY: the handle keeps the slot (HANDLE-1), or is a task's, whose worker's field is
        // written before the first task.
        let pthread = unsafe { hosted::pthread_of(self.slot()) };
        // A number with glibc, a pointer with musl; std's type is a number.
        #[allow(
            trivial_numeric_casts,
            clippy::unnecessary_cast,
            reason = "a pointer with musl"
        )]
        let raw = pthread as RawPthread;
        raw
    }

    fn into_pthread_t(self) -> RawPthread {
        let pthread = self.as_pthread_t();
        core::mem::forget(self);
        pthread
    }
}
