//! The kernel's ABI, and every difference between the architectures.
//!
//! Every system call that the crate makes itself is made here (libc and std make others), and every
//! raw integer of the kernel ends here: the layers above see types and [`Errno`]. Nothing here
//! accesses libc's `errno`, allocates, interprets the text of `/proc`, or chooses a policy.

pub(crate) mod arch;
pub(crate) mod clone;
#[cfg(feature = "alloc")]
pub(crate) mod confine;
pub(crate) mod credentials;
mod errno;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod inherited;
pub(crate) mod leak_roots;
pub(crate) mod limits;
pub(crate) mod memory;
#[cfg(feature = "alloc")]
pub(crate) mod process;
pub(crate) mod sched;
#[cfg(feature = "alloc")]
pub(crate) mod setup;
pub(crate) mod signal;
pub(crate) mod task;
pub(crate) mod task_file;
pub(crate) mod wait;

pub(crate) use errno::Errno;
