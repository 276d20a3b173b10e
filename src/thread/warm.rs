//! Threads that outlive their tasks: what `spawn` promises, for the price of a wake-up.
//!
//! [`spawn`](fn@spawn) hands a closure to an idle kernel thread of this module's, the one that
//! became idle last, or makes one. To the closure it is a new thread: a new
//! [`ThreadId`](crate::ThreadId), fresh thread-locals (with their destructors run before a join
//! returns), no name, its spawner's signal mask, affinity, scheduling and comm, and the spawner's
//! directory and descriptors. The handle is the same, with the same guarantees; only the kernel's
//! tid may come again in a later task.
//!
//! What a new thread inherits from its spawner, a task has, too:
//!
//! | what | how |
//! |---|---|
//! | signal mask, comm | set for each task |
//! | floating-point environment: MXCSR, the x87 unit's control and exceptions, FPCR, FPSR | set for each task |
//! | all four user and group ids, supplementary groups | compared |
//! | effective, permitted, inheritable and ambient capabilities, secure bits | compared |
//! | the bounding set | compared in `CAP_SYS_ADMIN`, which every sandbox drops; its other bits are not looked for, for the kernel tells one a call |
//! | affinity, policy, priority and nice value, I/O priority, timer slack, personality, NUMA policy | compared |
//! | directory, root, umask and descriptors (with `CLONE_FS` a mount namespace, too) | compared by `kcmp(2)`; where the kernel has none every thread ends after its task |
//! | `no_new_privs`, and with it seccomp filters and Landlock domains | a spawner that has it gets a new thread for each task, for the kernel does not tell how it has confined itself; so does one under a filter that `CAP_SYS_ADMIN` in its bounding set could have added |
//! | more than 1024 processors or memory nodes, or 64 supplementary groups | a new thread for each task |
//! | a Landlock domain or another security module's context taken without `no_new_privs` (`CAP_SYS_ADMIN`); keyrings; the namespaces of network, UTS, IPC, control groups, time, and of children's pids; utilization clamps, core scheduling, speculation control and other `prctl` settings; protection-key rights and other registers | not looked for: use [`crate::spawn`] for a closure that changes one for its thread, and in a thread that has |
//!
//! Compared is the spawner with an idle thread, and a thread with what it was at its start. A
//! thread that differs ends, and so does one whose task left a robust mutex locked, had a [`pidfd`]
//! opened for it or a [`signal`] sent to it.
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

pub use super::pool::workers::{set_idle_time, spawn, try_spawn};
