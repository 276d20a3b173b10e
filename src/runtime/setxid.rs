//! The leaver's part in its race with `setuid` (glibc), by itself so that a loom model can run it;
//! `hosted::exit` has the whole protocol.

use crate::primitive::atomic::{AtomicI32, AtomicU32, Ordering};

/// glibc's mark: setuid expects the thread's answer to signal 33.
pub(crate) const SETXID: u32 = 0x40;

/// Whether setuid's mark was there when the leaver looked.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetxidMark {
    /// The mark: wait until it is gone.
    Set,
    /// None: no setuid will signal the thread any more.
    Clear,
}

/// The leaver withdraws its tid, then looks at the mark.
///
/// By a read-modify-write, which changes nothing: setuid's mark is one too, so one of the two comes
/// first. If setuid's does, the leaver sees the mark. If the leaver's does, setuid's (Acquire)
/// reads what the leaver's left (Release), and so the tid that it reads next is 0.
///
/// A fence and a load would not do. The order of setuid's own two steps is its Acquire alone: on
/// AArch64 that lets the tid be read before the mark can be seen by others.
pub(crate) fn clear_tid_and_check(tid: &AtomicI32, mark: &AtomicU32) -> SetxidMark {
    tid.store(0, Ordering::Relaxed);
    if mark.fetch_or(0, Ordering::AcqRel) & SETXID == 0 {
        SetxidMark::Clear
    } else {
        SetxidMark::Set
    }
}
