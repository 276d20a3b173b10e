//! The claims, each with its experiment and with what holds instead.

use super::experiments;
use crate::ask::log::ExperimentLog;

/// How much of a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    Half,
    False,
}

/// Something that books and pages say.
pub(super) struct Claim {
    pub(super) says: &'static str,
    pub(super) experiment: fn(&mut ExperimentLog),
    /// What the experiment shows of the claim. The lab says so only if it was seen.
    pub(super) truth: Truth,
    pub(super) fact: &'static str,
}

/// All claims; their numbers count from 1.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "After fork, what the child assigns to a variable changes it in the parent, too.",
        experiment: experiments::fork_variables,
        truth: Truth::False,
        fact: "fork copies memory. With vfork, or clone with CLONE_VM, the variable is one.",
    },
    Claim {
        says: "a + b after the child has set both: 13 in the parent after fork, 20 after vfork.",
        experiment: experiments::a_plus_b,
        truth: Truth::True,
        fact: "The child of fork sets its copies, the child of vfork the only a and b there are.",
    },
    Claim {
        says: "The buffer reads \"hello from parent\" after clone, \"hello from child\" after clone vm.",
        experiment: experiments::clone_buffer,
        truth: Truth::True,
        fact: "CLONE_VM alone decides which of the two is read.",
    },
    Claim {
        says: "CLONE_SIGHAND shares the handlers and the mask of blocked signals.",
        experiment: experiments::sighand_mask,
        truth: Truth::Half,
        fact: "It shares the table of handlers. The mask is each task's own, whatever the flags.",
    },
    Claim {
        says: "fork() is clone(SIGCHLD).",
        experiment: experiments::fork_call,
        truth: Truth::Half,
        fact: "It shares as little, but libc also asks for the child's tid to be stored, and \
               cleared at its end; and it runs fork handlers. strace shows the call.",
    },
    Claim {
        says: "Go's exec.Command forks: clone(SIGCHLD).",
        experiment: experiments::go_exec,
        truth: Truth::False,
        fact: "Go asks for CLONE_VM and CLONE_VFORK (and CLONE_PIDFD today): no page table is \
               copied, and the calling thread sleeps until execve.",
    },
    Claim {
        says: "CLONE_THREAD makes the caller's parent the parent of the new thread.",
        experiment: experiments::thread_parent,
        truth: Truth::Half,
        fact: "getppid() says the same in all threads of a process. But no wait finds a thread: \
               it is no process's child.",
    },
    Claim {
        says: "clone(CLONE_VM | CLONE_FS | SIGCHLD) makes a thread.",
        experiment: experiments::not_a_thread,
        truth: Truth::False,
        fact: "It makes a process that shares memory and directories: its pid is its own. \
               CLONE_THREAD makes a thread.",
    },
    Claim {
        says: "Threads are invisible in the process table.",
        experiment: experiments::visible_threads,
        truth: Truth::False,
        fact: "They are listed in /proc/PID/task, and /proc/TID opens. Only a listing of /proc \
               leaves them out; ps -eLf shows them.",
    },
    Claim {
        says: "CLONE_SYSVSEM shares the System V semaphores.",
        experiment: experiments::semaphores,
        truth: Truth::False,
        fact: "Semaphores belong to the IPC namespace, and all in it share them. The flag shares \
               the list of what is undone when the last holder of the list ends.",
    },
    Claim {
        says: "getpid() is cached, so it lies after clone.",
        experiment: experiments::getpid_cache,
        truth: Truth::False,
        fact: "glibc cached it until version 2.24. Today each call asks the kernel.",
    },
    Claim {
        says: "vfork duplicates the address space of its caller.",
        experiment: experiments::vfork_memory,
        truth: Truth::False,
        fact: "The child runs in the address space of its caller, who sleeps meanwhile.",
    },
    Claim {
        says: "A thread takes two flags: CLONE_VM and CLONE_THREAD.",
        experiment: experiments::vm_and_thread,
        truth: Truth::False,
        fact: "CLONE_THREAD demands CLONE_SIGHAND, which demands CLONE_VM: the least is three.",
    },
    Claim {
        says: "forkall duplicates all threads, fork1 the calling one (Solaris, forkx).",
        experiment: experiments::fork_one,
        truth: Truth::Half,
        fact: "Linux has fork1's way alone: one thread in the child. No call copies the others; \
               what forkx's FORK_NOSIGCHLD and FORK_WAITPID do is exit signal 0 here.",
    },
];
