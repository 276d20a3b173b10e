//! What a thread that ends, and a spawner, do in their race with `setuid` (glibc), by itself so that loom models can run it;
//! `hosted::exit` has the whole protocol.

use crate::primitive::atomic::{AtomicI32, AtomicU32, Ordering};
use crate::primitive::pauses::Pauses;

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

/// The leaver's whole way out: when it returns, no setuid signals the thread any more, and one that was under
/// way when it began has changed its ids, but for a case of a few instructions.
///
/// Its tid stays while there is a mark: setuid goes round until it has signalled every marked thread that has
/// one, so the handler runs here. A mark that comes between that look and the withdrawal is looked for
/// again, and the tid given back: the signal may have been sent, or setuid comes round again. Only a setuid
/// whose last round falls between withdrawal and return passes over the thread, as it passes over
/// one that comes to this function later.
///
/// Relaxed: setuid may read either tid, and its mark orders the rest.
pub(crate) fn leave(tid: &AtomicI32, mark: &AtomicU32) {
    let own = tid.load(Ordering::Relaxed);
    loop {
        wait_until_clear(mark);
        if clear_tid_and_check(tid, mark) == SetxidMark::Clear {
            return;
        }
        tid.store(own, Ordering::Relaxed);
    }
}

/// Waits until no setuid expects anything of the calling thread, whose word this is. Signal 33
/// must be open.
///
/// Acquire: the ids that the handler, or setuid's end, left behind are there.
pub(crate) fn wait_until_clear(mark: &AtomicU32) {
    let mut pauses = Pauses::new();
    while mark.load(Ordering::Acquire) & SETXID != 0 {
        // The handler interrupts this very thread, a sleep too, or setuid ends without it: either
        // is soon.
        pauses.pause();
    }
}
