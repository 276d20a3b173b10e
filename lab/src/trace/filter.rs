//! A seccomp filter that stops a task at the calls that make tasks or install filters, and at no other:
//! without it, every system call of the program would stop it twice.
#![allow(unsafe_code, reason = "prctl and seccomp")]

use std::io;

use super::machine::{MACHINES, Machine};

/// Opcodes of classic BPF: load a word, AND, jump if equal, return a constant.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The lower half of the first argument: both machines are little-endian.
const FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const TRACE: u32 = libc::SECCOMP_RET_TRACE;

const fn step(code: u16, yes: u8, no: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

/// The steps for one machine: load the number, compare it with each call's, allow or stop.
fn block(machine: &Machine) -> Vec<libc::sock_filter> {
    let mask = machine.variant.map_or(u32::MAX, |(bit, _)| !bit);
    let mut steps = vec![step(LOAD, 0, 0, NUMBER), step(AND, 0, 0, mask)];
    let calls = machine.calls.iter().map(|(number, _)| *number);
    let numbers: Vec<_> = calls.chain([machine.seccomp]).collect();
    for (index, number) in numbers.iter().enumerate() {
        // Past the comparisons that are left, those of prctl, and ALLOW.
        let to_trace = (numbers.len() - index - 1 + 4) as u8;
        steps.push(step(JUMP_IF_EQUAL, to_trace, 0, *number));
    }
    // Of prctl's uses one installs filters.
    steps.push(step(JUMP_IF_EQUAL, 0, 2, machine.prctl));
    steps.push(step(LOAD, 0, 0, FIRST_ARGUMENT));
    steps.push(step(JUMP_IF_EQUAL, 1, 0, libc::PR_SET_SECCOMP as u32));
    steps.push(step(RETURN, 0, 0, ALLOW));
    steps.push(step(RETURN, 0, 0, TRACE));
    steps
}

/// The whole filter.
pub(super) fn program() -> Vec<libc::sock_filter> {
    let mut steps = vec![step(LOAD, 0, 0, ARCH)];
    for machine in &MACHINES {
        let block = block(machine);
        steps.push(step(JUMP_IF_EQUAL, 0, block.len() as u8, machine.audit));
        steps.extend(block);
    }
    steps.push(step(RETURN, 0, 0, ALLOW));
    steps
}

/// Installs the filter in the calling process and all that it will make.
///
/// Where the process lacks CAP_SYS_ADMIN, this sets "no new privileges" too. It takes nothing from
/// a program traced by an unprivileged user: exec under ptrace ignores set-user-ID bits anyway.
/// Allocates nothing.
///
/// # Errors
/// The kernel has no seccomp filters, or a sandbox refuses them.
pub(super) fn install(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    let seccomp = |flags: libc::c_ulong| {
        // SAFETY: the kernel reads the program, which lives until the call returns.
        unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const filter,
            )
        }
    };
    // SPEC_ALLOW (Linux 4.17): on older kernels a filter turned off speculation.
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        if seccomp(flags) == 0 {
            return Ok(());
        }
    }
    // SAFETY: numbers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if seccomp(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) == 0 || seccomp(0) == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter returns for a call.
    fn run(arch: u32, number: u32, argument: u32) -> u32 {
        let program = program();
        let (mut at, mut word) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD if step.k == ARCH => word = arch,
                LOAD if step.k == FIRST_ARGUMENT => word = argument,
                LOAD => word = number,
                AND => word &= step.k,
                JUMP_IF_EQUAL if word == step.k => at += usize::from(step.jt),
                JUMP_IF_EQUAL => at += usize::from(step.jf),
                RETURN => return step.k,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn only_calls_that_make_tasks_or_install_filters_stop() {
        for machine in &MACHINES {
            for number in 0..500 {
                let makes = machine.calls.iter().any(|(call, _)| *call == number);
                for argument in [0, 22] {
                    let filters = number == machine.seccomp
                        || number == machine.prctl && argument == libc::PR_SET_SECCOMP as u32;
                    let expected = if makes || filters { TRACE } else { ALLOW };
                    let got = run(machine.audit, number, argument);
                    assert_eq!(got, expected, "{machine:?} {number} {argument}");
                    if let Some((bit, _)) = machine.variant {
                        assert_eq!(run(machine.audit, number | bit, argument), expected);
                    }
                }
            }
        }
        assert_eq!(run(0x1234, 56, 0), ALLOW);
    }
}
