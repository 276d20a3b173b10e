//! The system call by which a function makes a child, seen by ptrace.
#![allow(unsafe_code, reason = "ptrace")]

use crate::syscall;

/// `PTRACE_GET_SYSCALL_INFO`, since Linux 5.3.
const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
/// The stop is at the entry of a system call.
const ENTRY: u8 = 1;

/// `struct ptrace_syscall_info` of include/uapi/linux/ptrace.h, at an entry.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Info {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    number: u64,
    arguments: [u64; 6],
    more: [u64; 4],
}

/// The first call of clone or clone3 that `f` makes, in a fork that is traced: its
/// number, and its flags where it has such.
///
/// # Errors
/// One line: there is no ptrace, or no such call.
pub(super) fn first_clone(f: fn()) -> Result<(i64, u64), String> {
    // SAFETY: a fork of an experiment with one thread. The child stops itself, and is traced from
    // then on; the kernel writes into local variables.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                libc::_exit(1);
            }
            libc::raise(libc::SIGSTOP);
            f();
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(pid, &mut status, 0);
        if !libc::WIFSTOPPED(status) {
            return Err("ptrace is not allowed here".into());
        }
        let kill = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, kill);
        let mut found = Err("the function made no child".to_owned());
        while libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0) == 0
            && libc::waitpid(pid, &mut status, 0) == pid
            && libc::WIFSTOPPED(status)
        {
            let mut info = Info::default();
            let size = size_of::<Info>();
            if libc::ptrace(GET_SYSCALL_INFO as _, pid, size, &raw mut info) <= 0 {
                found = Err("this kernel tells no system calls (Linux 5.3 does)".into());
                break;
            }
            let number = info.number as i64;
            if info.op == ENTRY && is_clone(number) {
                found = Ok((number, flags_of(pid, number, info.arguments[0])));
                break;
            }
        }
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &mut status, libc::__WALL);
        found
    }
}

/// The two that every architecture has.
fn is_clone(number: i64) -> bool {
    [libc::SYS_clone, libc::SYS_clone3]
        .map(i64::from)
        .contains(&number)
}

/// The flags of the call: its first argument, or the first word of clone3's structure.
fn flags_of(pid: i32, number: i64, argument: u64) -> u64 {
    if number != libc::SYS_clone3 {
        return argument;
    }
    let mut word = 0u64;
    let local = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: 8,
    };
    let remote = libc::iovec {
        iov_base: argument as *mut libc::c_void,
        iov_len: 8,
    };
    // SAFETY: the kernel reads 8 bytes of the traced process, and writes them into `word`.
    let _ = unsafe {
        syscall::syscall(
            libc::SYS_process_vm_readv,
            [
                pid as usize,
                (&raw const local) as usize,
                1,
                (&raw const remote) as usize,
                1,
                0,
            ],
        )
    };
    word
}
