//! GROUND: the kernel's ABI.
//!
//! Every system call of the crate leaves through this room, and every raw integer of the kernel
//! ends in it: above, there are types and [`Errno`]. Nothing here touches libc's `errno`,
//! allocates, or decides.

pub(crate) mod arch;
pub(crate) mod clone;
pub(crate) mod credentials;
mod errno;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod inherited;
pub(crate) mod limits;
pub(crate) mod memory;
#[cfg(feature = "alloc")]
pub(crate) mod process;
pub(crate) mod sched;
pub(crate) mod signal;
pub(crate) mod task;
pub(crate) mod wait;

pub(crate) use errno::Errno;
