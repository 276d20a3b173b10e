//! How many children are known by their number alone, for those who reap what is not their own.
//!
//! A number is a child's own until it is reaped. A handle without a pidfd signals and waits by number: no other
//! call of this crate may reap its child behind its back, or it would reach the next process of that number.
//!
//! | `COUNT` | meaning | transitions |
//! |---|---|---|
//! | n | n children have no pidfd, or are being made without | `take`: n to n + 1, before clone; drop: n to n - 1, once reaped or given up |

use core::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One of them. Taken before the child is made, so that it is never reaped uncounted.
#[derive(Debug)]
pub(super) struct ByNumber(());

impl ByNumber {
    pub(super) fn take() -> Self {
        // SeqCst, as below: what opens the child's pidfd comes after this in the one order, by clone.
        COUNT.fetch_add(1, Ordering::SeqCst);
        Self(())
    }

    /// Whether there are any beside `own`. Of a process that was opened before the call: if it has no handle
    /// with a pidfd, its handle is counted.
    pub(super) fn exist_beside(own: Option<&Self>) -> bool {
        COUNT.load(Ordering::SeqCst) > usize::from(own.is_some())
    }
}

impl Drop for ByNumber {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::SeqCst);
    }
}
