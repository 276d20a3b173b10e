//! The committed numbers. They change only in a commit that says why.

/// Where the numbers hold: system calls differ between libcs and architectures. Measured on Linux 6.18.
pub(crate) const PLATFORM: &str = "x86_64 glibc 2.36";

/// Spawns and joins of a scenario that repeats.
pub(crate) const REPEATS: usize = 32;

/// One number.
pub(crate) struct Number {
    pub(crate) scenario: &'static str,
    pub(crate) what: &'static str,
    pub(crate) committed: i64,
    /// How far apart the numbers may be: faults depend on where the linker and the kernel put things.
    pub(crate) slack: u64,
}

/// System calls by name, of all threads, where each join sleeps.
pub(crate) struct Calls {
    pub(crate) scenario: &'static str,
    pub(crate) what: &'static str,
    pub(crate) committed: &'static [(&'static str, i64)],
    /// How many futex calls more there may be: a lock that a preempted thread holds costs some. On a
    /// machine with seven times as many runnable threads as processors there were up to 25.
    pub(crate) more_futex_calls: i64,
}

pub(crate) const NUMBERS: &[Number] = &[
    Number {
        scenario: "faults-first-spawn",
        what: "page faults of the first spawn and join of a process",
        committed: 22,
        // 18 to 25 were seen: by build, and by which pages of the program are in memory.
        slack: 5,
    },
    Number {
        scenario: "faults-spawn-join",
        what: "page faults of 32 spawns and joins on used stacks",
        committed: 0,
        slack: 0,
    },
    Number {
        scenario: "faults-warm",
        what: "page faults of 32 warm spawns and joins",
        committed: 0,
        slack: 0,
    },
    Number {
        scenario: "faults-live",
        what: "page faults of 1,000 further live threads",
        committed: 2187,
        slack: 40,
    },
    Number {
        scenario: "bytes-live",
        what: "resident bytes per further live thread",
        // An optimised build has 60 less: frames differ.
        committed: 8920,
        slack: 130,
    },
    Number {
        scenario: "maps-live",
        what: "map entries of 1,000 further live threads",
        committed: 0,
        slack: 0,
    },
];

pub(crate) const CALLS: &[Calls] = &[
    Calls {
        scenario: "calls-first-spawn",
        what: "system calls of the first spawn and join of a process",
        committed: &[
            ("clone3", 1),
            ("exit", 1),
            ("futex", 2),
            ("get_robust_list", 1),
            ("getpid", 1),
            ("gettid", 2),
            ("madvise", 3),
            ("mmap", 2),
            ("prctl", 1),
            ("rseq", 1),
            ("rt_sigaction", 5),
            ("rt_sigprocmask", 13),
            ("sched_getaffinity", 1),
            ("sched_getparam", 1),
            ("sched_getscheduler", 1),
            ("set_robust_list", 1),
            ("set_tid_address", 1),
            ("sigaltstack", 1),
        ],
        // Spawner and donor wait for each other: each may sleep, and is woken then.
        more_futex_calls: 4,
    },
    Calls {
        scenario: "calls-spawn-join",
        what: "system calls of 32 spawns and joins on used stacks",
        committed: &[
            ("clone3", 32),
            ("exit", 32),
            ("futex", 32),
            ("rseq", 32),
            ("rt_sigprocmask", 32),
            ("set_robust_list", 32),
            ("sigaltstack", 32),
        ],
        more_futex_calls: 0,
    },
    Calls {
        scenario: "calls-burst",
        what: "system calls of two bursts of 64 small threads on used stacks",
        // Each thread asks for its page faults (`stack::touched`); no stack is discarded in vain.
        committed: &[
            ("clone3", 128),
            ("exit", 128),
            ("getrusage", 128),
            ("rseq", 128),
            ("rt_sigprocmask", 128),
            ("set_robust_list", 128),
            ("sigaltstack", 128),
        ],
        // How many joins sleep is the scheduler's.
        more_futex_calls: 256,
    },
    Calls {
        scenario: "calls-warm",
        what: "system calls of 32 warm spawns and joins on an idle thread",
        committed: &[
            ("capget", 64),
            ("futex", 128),
            ("get_mempolicy", 64),
            ("getgroups", 64),
            ("getresgid", 64),
            ("getresuid", 64),
            ("ioprio_get", 64),
            ("kcmp", 64),
            ("personality", 64),
            ("prctl", 384),
            ("rt_sigprocmask", 96),
            ("sched_getaffinity", 64),
            ("sched_getattr", 64),
            ("setfsgid", 64),
            ("setfsuid", 64),
            ("sigaltstack", 32),
        ],
        more_futex_calls: 128,
    },
    Calls {
        scenario: "calls-warm-without-rights",
        what: "system calls of 32 warm spawns and joins on an idle thread, in a process without rights",
        committed: &[
            ("futex", 128),
            ("get_mempolicy", 64),
            ("ioprio_get", 64),
            ("kcmp", 64),
            ("personality", 64),
            ("prctl", 256),
            ("rt_sigprocmask", 96),
            ("sched_getaffinity", 64),
            ("sched_getattr", 64),
            ("sigaltstack", 32),
        ],
        more_futex_calls: 128,
    },
    Calls {
        scenario: "calls-warm-unverified",
        what: "system calls of 32 unverified warm spawns and joins on an idle thread",
        committed: &[
            ("futex", 128),
            ("prctl", 64),
            ("rt_sigprocmask", 96),
            ("sigaltstack", 32),
        ],
        more_futex_calls: 128,
    },
];
