//! The pauses of a loop that waits for another thread's next step, behind the loom seam.

#[cfg(not(all(test, loom)))]
pub(crate) use crate::sys::sched::Pauses;

/// As `sys::sched::Pauses`: loom runs another thread, or the thread sleeps until a signal.
#[cfg(all(test, loom))]
pub(crate) struct Pauses(());

#[cfg(all(test, loom))]
impl Pauses {
    pub(crate) fn new() -> Self {
        Self(())
    }

    #[allow(clippy::unused_self, reason = "as the other one")]
    pub(crate) fn pause(&mut self) {
        if !crate::loom_models::setxid::sleep_until_signal() {
            loom::thread::yield_now();
        }
    }
}
