//! Steps that filter system calls.

use alloc::vec::Vec;

use super::action::{Action, BeforeExec};
use crate::sys::arch::AUDIT_ARCH;

/// Operations of classic BPF (linux/bpf_common.h), with a constant as operand.
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// `MAX_ERRNO` of the kernel.
const MAX_ERRNO: u32 = 4095;

/// From here on numbers are of x86-64's ABI with short pointers, x32; no other kernel has so many.
const X32: u32 = 0x4000_0000;

impl BeforeExec {
    /// Installs a seccomp filter, `seccomp(2)`: the bytes of its `struct sock_filter`s, as libseccomp
    /// exports and seccompiler compiles them. Needs [`no_new_privileges`](Self::no_new_privileges) or
    /// `CAP_SYS_ADMIN`.
    ///
    /// Taken last, but it is in force for the child's `execve`, which it must allow, and for the calls of other steps that
    /// are taken last and were given after it. A child that it kills there is an error of `spawn`, which reads the child's `/proc/PID/stat` for that; without `/proc` or
    /// a free descriptor a child that was killed inside `execve` is one that ended (SIGSYS).
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// // One instruction: BPF_RET | BPF_K, SECCOMP_RET_ALLOW.
    /// let allow_all = [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f];
    /// let status = Command::new("true")
    ///     .before_exec(BeforeExec::no_new_privileges())
    ///     .before_exec(BeforeExec::seccomp(allow_all))
    ///     .status()?;
    /// assert!(status.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn seccomp(filter: impl AsRef<[u8]>) -> Self {
        let instructions = filter.as_ref().chunks_exact(8);
        if !instructions.remainder().is_empty() {
            return Self(Action::BadFilter);
        }
        let words: Vec<u64> = instructions
            .filter_map(|one| one.try_into().ok().map(u64::from_ne_bytes))
            .collect();
        Self(Action::Seccomp(words))
    }

    /// Has the kernel answer these system calls, `libc::SYS_*`, with `errno`, and all calls of the machine's
    /// other ABIs (32 bits, x32), which have other numbers: a [`seccomp`](Self::seccomp) filter made of a
    /// list. Others are allowed. Needs [`no_new_privileges`](Self::no_new_privileges) or `CAP_SYS_ADMIN`.
    /// Taken last. A number that is no errno (1 to 4095), or no call's, is `InvalidInput` of the spawn.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("uname")
    ///     .before_exec(BeforeExec::no_new_privileges())
    ///     .before_exec(BeforeExec::refuse_calls([libc::SYS_uname, libc::SYS_mount], libc::EPERM))
    ///     .output()?;
    /// assert!(String::from_utf8_lossy(&output.stderr).contains("not permitted"));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn refuse_calls(calls: impl IntoIterator<Item = i64>, errno: i32) -> Self {
        let answer = match u32::try_from(errno) {
            Ok(errno @ 1..=MAX_ERRNO) => libc::SECCOMP_RET_ERRNO | errno,
            _ => return Self(Action::BadErrno),
        };
        let refuse = instruction(RETURN, 0, 0, answer);
        let mut filter = alloc::vec![
            instruction(LOAD, 0, 0, ARCH),
            instruction(IF_EQUAL, 1, 0, AUDIT_ARCH),
            refuse,
            instruction(LOAD, 0, 0, NUMBER),
            instruction(IF_AT_LEAST, 0, 1, X32),
            refuse,
        ];
        for call in calls {
            let number = match u32::try_from(call) {
                Ok(number @ ..X32) => number,
                _ => return Self(Action::BadCall),
            };
            filter.push(instruction(IF_EQUAL, 0, 1, number));
            filter.push(refuse);
        }
        filter.push(instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
        Self(Action::Seccomp(filter))
    }
}

/// A `struct sock_filter`: the operation, how many instructions to skip if true and if false, the operand.
const fn instruction(operation: u16, if_true: u8, if_false: u8, operand: u32) -> u64 {
    let [a, b] = operation.to_ne_bytes();
    let [c, d, e, f] = operand.to_ne_bytes();
    u64::from_ne_bytes([a, b, if_true, if_false, c, d, e, f])
}
