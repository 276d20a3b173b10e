//! One call to the kernel, and what was predicted for it.
#![allow(unsafe_code, reason = "bare system calls")]

use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::flags::{Call, Caller, CloneFlags, Fact, Rule};

use crate::bare_clone::clone_and_leave;

pub(crate) const SIGCHLD: u32 = 17;

/// What to ask.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) call: Call,
    pub(crate) flags: CloneFlags,
    pub(crate) exit_signal: u32,
    /// The caller, and what is wrong with the arguments.
    pub(crate) caller: Caller,
}

/// What there is to put into arguments.
#[derive(Clone, Copy)]
pub(crate) struct Props {
    /// A descriptor of a cgroup that is not the caller's; -1 for none.
    pub(crate) cgroup: i32,
    /// A descriptor of a cgroup that is gone; -1 for none.
    pub(crate) removed_cgroup: i32,
    /// A descriptor of something else.
    pub(crate) not_a_cgroup: i32,
    /// The next tid to ask for.
    pub(crate) next_tid: i32,
}

impl Props {
    /// A tid that no task has.
    fn free_tid(&mut self) -> i32 {
        loop {
            self.next_tid += 1;
            // SAFETY: signal 0 asks only whether there is such a process.
            if unsafe { libc::kill(self.next_tid, 0) } != 0 {
                return self.next_tid;
            }
        }
    }
}

/// `struct clone_args` with space behind it for what future kernels may read.
#[repr(C, align(64))]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
    future: [u64; 5],
}

const SIZE: usize = 88;
/// An address that is not mapped.
const NOWHERE: usize = 8;

impl Trial {
    /// Asks the kernel: 0 if it made the task (which is gone again), else the errno.
    pub(crate) fn ask(&self, props: &mut Props) -> i32 {
        // The words that the kernel writes. A child with CLONE_VM and CLONE_PARENT, for which nothing here
        // waits, has them written when it first runs and when it ends: they must outlive this call.
        static WORDS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
        let base = WORDS[0].as_ptr();
        let word = |index: usize| base.wrapping_add(index) as usize;
        let is = |fact| self.caller.has_fact(fact);

        let pidfd = if is(Fact::PidfdEfault) {
            NOWHERE
        } else {
            word(0)
        };
        let parent_tid = if is(Fact::PidfdOverTid) {
            pidfd
        } else {
            word(1)
        };
        let tls = if is(Fact::ThreadPointerOutOfRange) {
            1usize << 63
        } else {
            0
        };
        let answer = match self.call {
            Call::Clone => {
                let first = self.flags.bits() as usize | self.exit_signal as usize;
                let second = if self.flags.contains(CloneFlags::PIDFD) {
                    pidfd
                } else {
                    word(1)
                };
                #[cfg(target_arch = "x86_64")]
                let rest = [word(2), tls];
                #[cfg(target_arch = "aarch64")]
                let rest = [tls, word(2)];
                // SAFETY: the words are permanent; children do not touch memory.
                unsafe { clone_and_leave(libc::SYS_clone, [first, 0, second, rest[0], rest[1]]) }
            }
            Call::Clone3 => {
                let mut arguments = Arguments {
                    flags: self.flags.bits(),
                    pidfd: pidfd as u64,
                    child_tid: word(2) as u64,
                    parent_tid: parent_tid as u64,
                    exit_signal: u64::from(self.exit_signal),
                    tls: tls as u64,
                    ..Arguments::default()
                };
                let mut tids = [0i32; 2];
                let size = self.fill(&mut arguments, &mut tids, props);
                let pointer = if is(Fact::ArgumentsEfault) {
                    NOWHERE
                } else {
                    core::ptr::from_ref(&arguments) as usize
                };
                // SAFETY: as above; `arguments` and `tids` are only read.
                unsafe { clone_and_leave(libc::SYS_clone3, [pointer, size, 0, 0, 0]) }
            }
        };
        if answer < 0 {
            return -answer as i32;
        }
        self.part_from(answer as i32, WORDS[0].load(Ordering::Relaxed) as i32);
        0
    }

    /// Puts what is wrong (or asked for) into the structure; returns its size.
    fn fill(&self, arguments: &mut Arguments, tids: &mut [i32; 2], props: &mut Props) -> usize {
        let is = |fact| self.caller.has_fact(fact);
        if is(Fact::SetTid) {
            tids[0] = if is(Fact::SetTidOutOfRange) {
                i32::MAX
            } else if is(Fact::SetTidInUse) {
                // SAFETY: no arguments.
                unsafe { libc::getpid() }
            } else {
                props.free_tid()
            };
            arguments.set_tid = tids.as_ptr() as u64;
            arguments.set_tid_size = 1;
        }
        if is(Fact::SetTidEfault) {
            (arguments.set_tid, arguments.set_tid_size) = (NOWHERE as u64, 1);
        }
        if is(Fact::SetTidMismatch) {
            arguments.set_tid_size = if arguments.set_tid == 0 { 1 } else { 33 };
        }
        if is(Fact::StackIncomplete) {
            arguments.stack_size = 4096;
        } else if is(Fact::StackOutOfRange) {
            (arguments.stack, arguments.stack_size) = (u64::MAX - 0xffff, 4096);
        }
        arguments.cgroup = if is(Fact::CgroupNotGiven) {
            1 << 40
        } else if is(Fact::CgroupNotV2) {
            props.not_a_cgroup as u64
        } else if is(Fact::CgroupRemoved) {
            props.removed_cgroup as u64
        } else {
            props.cgroup as u64
        };
        if is(Fact::ArgumentsBeyondPage) {
            65536 + 1
        } else if is(Fact::ArgumentsTooShort) {
            63
        } else if is(Fact::ArgumentsNonzeroTail) {
            arguments.future[4] = 1;
            size_of::<Arguments>()
        } else {
            SIZE
        }
    }

    /// Sees the child off, as far as it is ours to wait for.
    fn part_from(&self, tid: i32, pidfd: i32) {
        // SAFETY: plain calls on a child and a descriptor of ours.
        unsafe {
            if self.flags.contains(CloneFlags::THREAD) {
                let pid = libc::getpid();
                while libc::syscall(libc::SYS_tgkill, pid, tid, 0) == 0 {
                    libc::sched_yield();
                }
            } else if !self.flags.contains(CloneFlags::PARENT) {
                libc::waitpid(tid, core::ptr::null_mut(), libc::__WALL);
            }
            if self.flags.contains(CloneFlags::PIDFD) {
                libc::close(pidfd);
            }
        }
    }

    pub(crate) fn foretold(&self) -> Option<&'static Rule> {
        self.flags
            .verdict(self.call, self.exit_signal, &self.caller)
            .rule()
    }

    /// What would be predicted if the deciding rule were unknown.
    pub(crate) fn foretold_without(&self, rule: &Rule) -> i32 {
        self.flags
            .violated_rules(self.call, self.exit_signal, &self.caller)
            .find(|other| other.id != rule.id)
            .map_or(0, |other| other.errno)
    }
}
