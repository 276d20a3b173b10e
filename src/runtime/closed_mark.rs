//! When the pool last found that a thread cannot change its credentials (`thread::pool::credentials`).
//!
//! Without libc the mark does not exist: there every byte of a small program counts, and the pool asks for
//! the credentials each time.

#[cfg(feature = "hosted")]
mod imp {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// The number of the pool's youngest worker before the credentials were asked for; 0: they were not
    /// found closed. Relaxed: the thread's own.
    pub(crate) struct ClosedMark(AtomicU64);

    impl ClosedMark {
        pub(crate) fn get(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        pub(crate) fn set(&self, youngest: u64) {
            self.0.store(youngest, Ordering::Relaxed);
        }
    }
}

#[cfg(not(feature = "hosted"))]
mod imp {
    /// No mark.
    pub(crate) struct ClosedMark;

    impl ClosedMark {
        #[allow(clippy::unused_self, reason = "as the other one")]
        pub(crate) fn get(&self) -> u64 {
            0
        }

        #[allow(clippy::unused_self, reason = "as the other one")]
        pub(crate) fn set(&self, _youngest: u64) {}
    }
}

pub(crate) use imp::ClosedMark;
