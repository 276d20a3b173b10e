//! The questions, each with its experiment and its answer.

use super::log::ExperimentLog;
use super::{
    costs, effects, fork_exec, identity, inheritance, libc_limits, lifecycle, limits, rules,
    sharing, stacks, streams, threads,
};

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
    Question {
        asks: "Why does printf print twice after fork? exit or _exit?",
        experiment: streams::stdio,
        answer: "stdio keeps what it has not written in memory, and fork copies memory: exit \
                 writes the copy too, _exit does not. Flush before fork, and end the child by \
                 _exit.",
    },
    Question {
        asks: "What is a zombie, what is an orphan, and who adopts it?",
        experiment: lifecycle::zombie,
        answer: "A zombie has ended and keeps its pid and status until its parent waits. An \
                 orphan's parent has ended: the nearest subreaper adopts it, else pid 1, and \
                 then waits for it.",
    },
    Question {
        asks: "Why does PID 1 ignore SIGTERM?",
        experiment: lifecycle::pid1_signals,
        answer: "The kernel drops a signal to pid 1 that would take the default action; from \
                 its own namespace even SIGKILL. A container's init needs a handler for \
                 SIGTERM, or an init before it.",
    },
    Question {
        asks: "Which thread gets a signal?",
        experiment: threads::signals,
        answer: "A signal to the process goes to any thread that does not block it; a signal to \
                 a thread waits for that thread. Handlers belong to the process, masks to the \
                 thread.",
    },
    Question {
        asks: "What if one thread segfaults, calls exit, or main returns?",
        experiment: threads::ends,
        answer: "A fatal signal, exit and the return of main end the whole process, with all \
                 threads. Only the end of one thread by itself, be it the first, leaves the \
                 others running.",
    },
    Question {
        asks: "Why does my pipe never see EOF, and what is the close-on-exec race?",
        experiment: streams::pipe_without_end,
        answer: "The end of a pipe comes when the last writing descriptor is closed, in every \
                 process that has a copy. Only O_CLOEXEC from the first moment keeps it from \
                 programs that others start.",
    },
    Question {
        asks: "Why may a vfork child not return, nor call exit?",
        experiment: stacks::vfork_return,
        answer: "It has its caller's memory: what it does to the stack, to exit handlers and to \
                 buffers, it does to its caller's. It may call _exit and the exec functions.",
    },
    Question {
        asks: "What is wrong with a stack from malloc?",
        experiment: stacks::malloc_stack,
        answer: "Nothing stops an overflow from overwriting the neighbour, and free before the \
                 child has left takes the stack from under it. Map stacks, with a guard, and \
                 free them after the join.",
    },
    Question {
        asks: "May the child of a threaded process call malloc?",
        experiment: libc_limits::malloc_after_fork,
        answer: "After libc's fork glibc's malloc works, as an extra; the standard allows \
                 async-signal-safe calls alone. After a bare clone nothing is put right, and no \
                 lock of others ever is.",
    },
    Question {
        asks: "Why EPERM or ENOSYS from clone3, and EAGAIN from pthread_create, in a container?",
        experiment: libc_limits::container,
        answer: "A sandbox that does not know clone3 should answer ENOSYS: then callers turn to \
                 clone. EPERM is believed. EAGAIN means a limit: of tasks, or of memory for the \
                 stack.",
    },
    Question {
        asks: "Where do threads show, in ps and in /proc?",
        experiment: costs::visible,
        answer: "As /proc/PID/task/TID. /proc/TID exists as well, but is not listed. ps shows \
                 them with -L or -T, top with -H; without, one line stands for the process.",
    },
    Question {
        asks: "What do fork, vfork, posix_spawn and a thread cost, small and large?",
        experiment: costs::four_ways,
        answer: "fork pays for every page table of its maker, so it grows with memory in use. \
                 vfork, posix_spawn and threads do not: they copy no page table.",
    },
    Question {
        asks: "Do nice, errno, user ids belong to the thread or the process?",
        experiment: threads::attributes,
        answer: "To the kernel all three are a thread's. POSIX wants ids and nice to be the \
                 process's: libc sets the ids in every thread, and leaves nice alone.",
    },
    Question {
        asks: "What becomes of file locks at a fork?",
        experiment: streams::file_locks,
        answer: "flock and open-file locks belong to the open file, which fork shares: either \
                 process can unlock. Record locks belong to the process: none is inherited, and \
                 any close drops them.",
    },
    Question {
        asks: "Why a pidfd, when there are pids?",
        experiment: lifecycle::pidfd,
        answer: "A pid is free for the next process once the old one was waited for. A pidfd \
                 means one process for good, and says ESRCH when that is gone.",
    },
    Question {
        asks: "What does a fork child not inherit?",
        experiment: inheritance::not_inherited,
        answer: "What belongs to the process as such: memory locks, CPU time, timers, pending \
                 signals, the parent-death signal, directory notification, contexts of \
                 asynchronous I/O, and pages that were marked so.",
    },
    Question {
        asks: "Does mmap or munmap in the child change its maker's memory?",
        experiment: effects::mappings,
        answer: "With CLONE_VM there is one set of mappings: what one maps or unmaps, it does \
                 for both. Without it the child changes its own copy of the set.",
    },
    Question {
        asks: "What do new mount and network namespaces change?",
        experiment: effects::namespaces,
        answer: "What is mounted in one mount namespace is not there in another. A new network \
                 namespace has its own interfaces and ports, and no way to the maker's until \
                 one is made.",
    },
    Question {
        asks: "What do the states R, S, D, T, t and Z in ps mean?",
        experiment: effects::states,
        answer: "Running or ready, asleep, asleep without regard to signals, stopped, stopped \
                 by a tracer, and ended but not waited for. /proc/PID/stat has the letter \
                 behind the name.",
    },
];
