//! Threads that outlive their tasks: what `spawn` promises, for the price of a wake-up.
//!
//! [`spawn`](fn@spawn) hands a closure to an idle kernel thread of this module's, the one that
//! became idle last, or makes one. To the closure it is a new thread: a new
//! [`ThreadId`](crate::ThreadId), fresh thread-locals (with their destructors run before a join
//! returns), no name, its spawner's signal mask, affinity, scheduling and comm, and the spawner's
//! directory and descriptors. The handle is the same, with the same guarantees; only the kernel's
//! tid may come again in a later task.
//!
//! A thread whose task left something that cannot be put back (affinity, scheduling, effective
//! ids, an unshared directory or descriptor table, a robust mutex locked), and one that a [`pidfd`]
//! was opened for or a [`signal`] sent to, ends after the task instead. What only a raw `prctl` can
//! change (a seccomp filter, timer slack, `no_new_privs`), and what `setns`, `unshare`, `capset`,
//! `setfsuid` or `set_mempolicy` change for one thread, is not looked for: use [`crate::spawn`] for
//! closures that do such things. Where the kernel has no `kcmp(2)` every thread ends after its task.
//!
//! Idle threads have all signals masked and leave after [`set_idle_time`], or at
//! [`trim`](crate::trim). Each waits on a futex of its own, which a fork leaves usable. Closure and result of a task are on the heap; without the feature `alloc` they take 256
//! bytes of a table that grows and never shrinks, or pages of their own if they are larger.
//!
//! Without std, neither an rseq area nor a tid address that a task registered is looked for, and
//! with the feature `panic-thread` a task that panics takes its kernel thread with it.
//!
//! [`pidfd`]: crate::JoinHandle::pidfd
//! [`signal`]: crate::JoinHandle::signal

pub use super::pool::{set_idle_time, spawn, try_spawn};
