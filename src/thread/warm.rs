//! A thread pool whose tasks cannot be told from new threads.
//!
//! [`spawn`](fn@spawn) runs a closure, a *task*, on an idle *worker*: a kernel thread of this module
//! that has run other tasks before. It takes the worker that became idle last, or makes one if none
//! is idle, so a task never waits for another to end. To the closure it is a new thread: a new
//! [`ThreadId`](crate::ThreadId), fresh thread-locals (whose destructors run before a join returns),
//! no name, and its spawner's signal mask, affinity, scheduling, comm, directory and descriptors.
//! The handle is a [`JoinHandle`](crate::JoinHandle) with the same guarantees: dropping it detaches
//! the task, a panic is returned by the join, and the end of the process ends all tasks. Only the
//! kernel's tid may be that of an earlier task.
//!
//! What a new thread inherits from its spawner, a task has, too:
//!
//! | what | how |
//! |---|---|
//! | signal mask, comm | set for each task |
//! | floating-point environment: MXCSR, the x87 unit's control and exceptions, FPCR, FPSR | set for each task |
//! | all four user and group ids, supplementary groups | compared |
//! | effective, permitted, inheritable and ambient capabilities, secure bits | compared |
//! | the bounding set | compared in `CAP_SYS_ADMIN`, which every sandbox drops; its other bits are not compared, for the kernel reports one bit per call |
//! | affinity, policy, priority, nice value, slice and utilization clamps, I/O priority, timer slack, personality, NUMA policy | compared |
//! | directory, root, umask and descriptors (with `CLONE_FS` a mount namespace, too) | compared by `kcmp(2)`; where the kernel has none every worker exits after its task |
//! | `no_new_privs`, and with it seccomp filters and Landlock domains | a spawner that has it gets a new thread for each task, for the kernel does not report how it has confined itself; so does one under a filter that `CAP_SYS_ADMIN` in its bounding set could have added |
//! | more than 1024 processors or memory nodes, or 64 supplementary groups | a new thread for each task |
//! | a Landlock domain or another security module's context taken without `no_new_privs` (`CAP_SYS_ADMIN`); keyrings; the namespaces of network, UTS, IPC, control groups, time, and of children's pids; the threaded control group; core scheduling, speculation control and other `prctl` settings; protection-key rights and other registers | not compared: use [`crate::spawn`] for a closure that changes one for its thread, and in a thread that has changed one |
//!
//! Threads of a process without rights (all user ids alike, all group ids alike, no capability) cannot
//! change ids, groups and capabilities: there they are compared once for each thread, not for each task.
//!
//! The spawner is compared with an idle worker, and a worker with what it was at its start. A worker
//! that differs exits, and so does one whose task left a robust mutex locked, had a [`pidfd`] opened
//! for it, a [`signal`] sent to it, or its processors, scheduling or I/O priority set by its
//! handle.
//!
//! [`spawn_unverified`] leaves the comparisons out, which are most of the cost.
//!
//! Idle workers block all signals and exit after [`set_idle_time`], or at [`trim`](crate::trim). Each
//! waits on a futex of its own, which a fork leaves usable. Closure and result of a task are on the
//! heap; without the feature `alloc` they take 256 bytes of an arena that grows and never shrinks, or
//! pages of their own if they are larger.
//!
//! Without std, an rseq area or a tid address that a task registered is not found, and with the
//! feature `panic-thread` a task that panics ends its worker with it.
//!
//! ```
//! use rawthread::warm;
//!
//! let tasks: Vec<_> = (0..4).map(|n| warm::spawn(move || n * n)).collect();
//! let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
//! assert_eq!(sum, 14);
//! ```
//!
//! [`pidfd`]: crate::JoinHandle::open_pidfd
//! [`signal`]: crate::JoinHandle::signal

pub use super::pool::idle::set_idle_time;
pub use super::pool::workers::{spawn, spawn_unverified, try_spawn, try_spawn_unverified};
