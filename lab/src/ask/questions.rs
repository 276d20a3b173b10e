//! The questions, each with its experiment and its answer.

use super::log::ExperimentLog;
use super::{fork_exec, identity, limits, rules, sharing};

/// A question, the experiment that answers it, and the answer that should come out.
pub(super) struct Question {
    pub(super) asks: &'static str,
    pub(super) experiment: fn(&mut ExperimentLog),
    /// Shown only when the experiment bears it out.
    pub(super) answer: &'static str,
}

/// All questions; their numbers count from 1.
pub(super) const QUESTIONS: &[Question] = &[
    Question {
        asks: "Does the child's close() hit my descriptor?",
        experiment: sharing::close,
        answer: "With CLONE_FILES there is one table, and a close by one is a close for both. \
                 Without it the child closes its own copy.",
    },
    Question {
        asks: "Can one thread have its own working directory?",
        experiment: sharing::directory,
        answer: "Yes: directory, root and umask go by CLONE_FS, not by CLONE_THREAD. \
                 rawthread::Builder::private_cwd leaves it out.",
    },
    Question {
        asks: "Why does unshare(CLONE_NEWUSER) fail once threads exist?",
        experiment: rules::unshare,
        answer: "A new user namespace changes rights, and the kernel does not let threads of one \
                 group have different ones: it demands to be alone. Use clone, or unshare first.",
    },
    Question {
        asks: "Why EINVAL?",
        experiment: rules::einval,
        answer: "Some flags need others: threads must share handlers, and a task that shares handlers \
                 must share the memory that they lie in. lab explain names the rule.",
    },
    Question {
        asks: "What are pid, tid and tgid?",
        experiment: identity::pid_tid_tgid,
        answer: "Every task has a tid. getpid() gives the tgid: the tid of the first thread of \
                 the group. A process is a group; a thread is a member.",
    },
    Question {
        asks: "What do fork and vfork cost when a lot of memory is touched?",
        experiment: fork_exec::fork_cost,
        answer: "fork copies no page, but every page table, and write-protects what they map; \
                 vfork copies nothing. So a large program starts others by vfork or posix_spawn.",
    },
    Question {
        asks: "Who is stopped by vfork?",
        experiment: fork_exec::vfork_blocks,
        answer: "The calling thread alone, until the child calls execve or exits. All other \
                 threads run on, on the same memory as the child.",
    },
    Question {
        asks: "Why does waitpid say ECHILD though I have a child?",
        experiment: identity::wait_flags,
        answer: "A plain wait finds children whose exit signal is SIGCHLD. Others need __WALL or \
                 __WCLONE, and threads cannot be waited for at all.",
    },
    Question {
        asks: "Which threads are there after fork?",
        experiment: fork_exec::threads_after_fork,
        answer: "The one that called. What the others held stays as it was: a lock that one of \
                 them had locked stays locked in the child.",
    },
    Question {
        asks: "What does exec do to threads?",
        experiment: fork_exec::exec,
        answer: "It ends all of them but the caller, who takes over the group's pid, whichever \
                 thread it was.",
    },
    Question {
        asks: "Which end of the stack does clone want?",
        experiment: sharing::stack,
        answer: "The stack grows down: clone takes the address just past its highest byte. clone3 \
                 takes the lowest address and the size, and computes the end itself.",
    },
    Question {
        asks: "What is special about PID 1?",
        experiment: identity::pid1,
        answer: "The first process of a pid namespace is pid 1 in there and has another pid \
                 outside. It gets only signals that it has a handler for, it adopts every orphan \
                 of the namespace, and when it ends, the kernel kills all others in there.",
    },
    Question {
        asks: "Do signal handlers cross CLONE_SIGHAND?",
        experiment: sharing::handlers,
        answer: "With CLONE_SIGHAND there is one table: a disposition that the child sets is \
                 yours. Masks are never shared.",
    },
    Question {
        asks: "What does CLONE_PARENT do?",
        experiment: identity::clone_parent,
        answer: "It makes a sibling: the child's parent is yours, who gets the signal and must \
                 wait; you cannot.",
    },
    Question {
        asks: "What does CLONE_CHILD_CLEARTID do for join?",
        experiment: rules::cleartid,
        answer: "When the thread is off its stack, the kernel stores 0 in a word and wakes a \
                 futex there. A join sleeps on that word, and may then free the stack.",
    },
    Question {
        asks: "How many threads can I have, and what stops me?",
        experiment: limits::limits,
        answer: "Whichever limit comes first: address space, mappings, processes of the user, \
                 tasks of the control group, tasks or pids of the system. The error of \
                 rawthread::Builder::spawn names it, and the process lives on.",
    },
];
