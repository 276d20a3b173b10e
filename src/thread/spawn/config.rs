//! What a builder asks of a thread before it exists.

use core::time::Duration;

use super::hooks::HookChoice;
use super::setup::StartupActions;
use crate::error::Operation;
use crate::flags::CloneFlags;
use crate::runtime::Name;
use crate::sys::signal::SigSet;
use crate::sys::{Errno, sched};
use crate::thread::join::exit_observer::ExitObserver;

/// The settings of one thread, as [`prepare::spawn`](super::prepare::spawn) takes them.
pub(in crate::thread) struct Options<'a> {
    pub(in crate::thread) name: Name,
    pub(in crate::thread) stack_size: usize,
    pub(in crate::thread) guard_size: usize,
    pub(in crate::thread) retry: Retry,
    /// Lowest address and length of the caller's own stack.
    pub(in crate::thread) stack: Option<(usize, usize)>,
    /// By what clone's flags differ from the usual: `FS` and `FILES` are left out then, and `INTO_CGROUP`
    /// is added.
    pub(in crate::thread) flags: CloneFlags,
    /// A descriptor of the cgroup that the thread begins in, with `INTO_CGROUP` in `flags`.
    pub(in crate::thread) cgroup: i32,
    /// What clone's refusal of `flags` says, if more than usual. Here, so that a program that does not ask
    /// for them does not contain it.
    pub(in crate::thread) refusal: Option<&'static Operation>,
    pub(in crate::thread) mask: Option<SigSet>,
    pub(in crate::thread) actions: &'a mut StartupActions,
    pub(in crate::thread) observer: ExitObserver,
    pub(in crate::thread) hooks: HookChoice,
}

/// How often to try again when the kernel says EAGAIN, and how long to sleep before each try.
///
/// ```
/// use rawthread::Retry;
/// use std::time::Duration;
///
/// let retry = Retry::times(3, Duration::from_millis(1));
/// assert_ne!(retry, Retry::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    times: u32,
    pause: Duration,
}

impl Retry {
    /// Reports the first EAGAIN as an error.
    ///
    /// ```
    /// use rawthread::{Builder, Retry};
    /// let thread = Builder::new().retry(Retry::NEVER).spawn(|| 1)?;
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const NEVER: Self = Self::times(0, Duration::ZERO);

    /// Tries up to `times` times more, each time after a sleep of `pause`.
    ///
    /// ```
    /// # use rawthread::Retry;
    /// assert_eq!(Retry::times(0, std::time::Duration::ZERO), Retry::NEVER);
    /// ```
    pub const fn times(times: u32, pause: Duration) -> Self {
        Self { times, pause }
    }

    /// Runs `attempt` by this policy.
    pub(in crate::thread) fn run<T>(
        self,
        attempt: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut left = self.times;
        loop {
            match attempt() {
                Err(Errno::EAGAIN) if left > 0 => {
                    left -= 1;
                    sched::sleep(self.pause);
                }
                answer => return answer,
            }
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::NEVER
    }
}
