//! When idle stacks have been kept for so long that what threads left in them returns to the system.

use core::sync::atomic::{AtomicU32, Ordering};

/// The time since idle stacks were last discarded for their age.
///
/// Both words are relaxed, and updates of `puts` may be lost: a policy hangs on them, no memory. A caller
/// that takes over `since` is the only one that discards for that time.
///
/// | `since` | meaning |
/// |---|---|
/// | 0 | no caller has read the clock yet |
/// | else | the second from which the age counts |
#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only with a libc is idle memory bounded here")
)]
pub(super) struct IdleAge {
    puts: AtomicU32,
    since: AtomicU32,
}

#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only with a libc is idle memory bounded here")
)]
impl IdleAge {
    /// Seconds.
    pub(super) const MOST: u32 = 10;
    /// One caller in so many reads the clock. A power of two, so that `puts` may wrap.
    pub(super) const PUTS_PER_LOOK: u32 = 16;

    pub(super) const fn new() -> Self {
        Self {
            puts: AtomicU32::new(0),
            since: AtomicU32::new(0),
        }
    }

    /// A stack became idle: whether its caller is to discard all that are. `seconds` reads a clock that
    /// never goes back.
    pub(super) fn has_passed(&self, seconds: impl FnOnce() -> u32) -> bool {
        let puts = self.puts.load(Ordering::Relaxed).wrapping_add(1);
        self.puts.store(puts, Ordering::Relaxed);
        if !puts.is_multiple_of(Self::PUTS_PER_LOOK) {
            return false;
        }
        let now = seconds().max(1);
        let since = self.since.load(Ordering::Relaxed);
        if since != 0 && now.saturating_sub(since) < Self::MOST {
            return false;
        }
        let taken = self
            .since
            .compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        taken && since != 0
    }
}
