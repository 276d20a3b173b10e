//! A thread's end as a future.
#![allow(unsafe_code, reason = "hands a waker to the thread and takes it back")]

use core::fmt;
use core::future::IntoFuture;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::handle::JoinHandle;
use super::membership::{Membership, NoScope};
use super::result::Result;
use super::waker;
use crate::runtime::ready_hook::ReadyHook;

/// Waits for a thread's end without blocking; what `.await` makes of a [`JoinHandle`].
///
/// Its output is what [`JoinHandle::join`] returns. The thread has run the destructors of its
/// thread-locals then. It wakes the task itself, so no other thread and no runtime is needed, and any
/// executor will do. The thread may still be in the kernel's lists for a moment, as after a join, and on
/// its way out of the waker.
///
/// Cancelling a wait loses nothing if the future is polled by reference: `(&mut future).await`. The
/// future keeps the handle, and [`into_handle`](Self::into_handle) gives it back. Dropping the future
/// itself drops the handle, which detaches the thread, or leaves it to its scope.
///
/// A thread may poll its own future: an executor that runs in it may have other tasks, and a wait may be
/// cancelled. The future is pending until the thread has ended, so a thread that does nothing else waits for
/// ever, where [`JoinHandle::join`] panics.
///
/// The waker is called on the thread after the destructors of its thread-locals, which may use what the
/// result holds. So a waker, and a logger or an executor that it calls, must reach those of std
/// (`std::thread_local!`) that have a destructor by `try_with`: `with` panics there.
///
/// A panic in the task's waker is reported by the panic hook; the thread ends as usual, and the wake is
/// lost. A waker that is
/// still to be called when the process forks is not called in the child.
///
/// On memory of the caller's own ([`Builder::stack`](crate::Builder::stack)) the thread may still use its
/// stack when the future has ended: have the handle back and join it before the memory is reused.
///
/// # Panics
/// Polling panics after it returned the result; and in the child of a `fork(2)`, as
/// [`JoinHandle::join`] does.
///
/// ```
/// # #[cfg(feature = "std")] {
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     struct Unpark(rawthread::Thread);
/// #     impl std::task::Wake for Unpark {
/// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
/// #     }
/// #     let waker = std::sync::Arc::new(Unpark(rawthread::current())).into();
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
/// #             std::task::Poll::Ready(output) => return output,
/// #             std::task::Poll::Pending => rawthread::park(),
/// #         }
/// #     }
/// # }
/// let answer = block_on(async { rawthread::spawn(|| 6 * 7).await });
/// assert_eq!(answer.unwrap(), 42);
/// # }
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct JoinFuture<T, S = NoScope> {
    /// `None` once the result was returned.
    handle: Option<JoinHandle<T, S>>,
    /// Whether a waker was given to the thread and not taken back.
    armed: bool,
}

impl<T, S> JoinFuture<T, S> {
    /// Returns the handle; `None` if polling returned the result.
    ///
    /// ```
    /// let future = rawthread::spawn(rawthread::park).into_future();
    /// let handle = future.into_handle().expect("it was not polled");
    /// handle.thread().unpark();
    /// handle.join().unwrap();
    /// ```
    pub fn into_handle(mut self) -> Option<JoinHandle<T, S>> {
        self.take_waker_back();
        self.handle.take()
    }

    /// Returns the handle, to inspect or signal the thread; `None` if polling returned the result.
    ///
    /// ```
    /// let future = rawthread::spawn(rawthread::park).into_future();
    /// future.handle().expect("it was not polled").thread().unpark();
    /// ```
    pub fn handle(&self) -> Option<&JoinHandle<T, S>> {
        self.handle.as_ref()
    }

    /// Drops the waker that the thread would call, unless the thread is about to.
    fn take_waker_back(&mut self) {
        if !core::mem::take(&mut self.armed) {
            return;
        }
        if let Some(handle) = &self.handle {
            // SAFETY: `armed` was set: the handle has a hook.
            if let Some(hook) = unsafe { handle.disarm_hook() } {
                // SAFETY: the words are a waker's, which the thread will not call.
                drop(unsafe { waker::from_words(hook.words) });
            }
        }
    }
}

/// The handle is moved out when it is ready: nothing in the future is pinned.
impl<T, S> Unpin for JoinFuture<T, S> {}

impl<T, S: Membership> Future for JoinFuture<T, S> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let Some(handle) = &this.handle else {
            panic!("a JoinFuture was polled after it returned the result");
        };
        if !handle.is_ready() {
            handle.assert_of_this_process();
            let wanted = waker::words(context.waker());
            // SAFETY: `armed`: the handle has set a hook.
            if this.armed && unsafe { handle.hook_words() } == wanted {
                // The thread had not looked yet, and will find it.
                return Poll::Pending;
            }
            this.take_waker_back();
            if this.arm(context) {
                return Poll::Pending;
            }
        }
        this.armed = false;
        match this.handle.take() {
            // SAFETY: `is_ready`, or the hook was refused, which says the same.
            Some(handle) => Poll::Ready(unsafe { handle.into_ready_result() }),
            None => unreachable!("it was there above"),
        }
    }
}

impl<T, S> JoinFuture<T, S> {
    /// Gives the thread a waker; false if it is ready.
    fn arm(&mut self, context: &Context<'_>) -> bool {
        let Some(handle) = &self.handle else {
            return false;
        };
        let hook = ReadyHook {
            run: waker::wake,
            words: waker::into_words(context.waker().clone()),
        };
        // SAFETY: no hook is set: `take_waker_back` came first, and none was set since. A waker may be
        // called on any thread.
        self.armed = unsafe { handle.arm_hook(hook) }.is_ok();
        if !self.armed {
            // SAFETY: the thread has not taken them.
            drop(unsafe { waker::from_words(hook.words) });
        }
        self.armed
    }
}

impl<T, S> Drop for JoinFuture<T, S> {
    fn drop(&mut self) {
        self.take_waker_back();
    }
}

impl<T, S> fmt::Debug for JoinFuture<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinFuture")
            .field("thread", &self.handle.as_ref().map(JoinHandle::thread))
            .finish_non_exhaustive()
    }
}

/// Waits for the thread without blocking: `handle.await`, or [`JoinFuture`].
impl<T, S: Membership> IntoFuture for JoinHandle<T, S> {
    type Output = Result<T>;
    type IntoFuture = JoinFuture<T, S>;

    fn into_future(self) -> JoinFuture<T, S> {
        JoinFuture {
            handle: Some(self),
            armed: false,
        }
    }
}
