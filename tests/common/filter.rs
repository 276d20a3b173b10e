//! A seccomp filter that refuses one system call.
#![allow(dead_code, reason = "each suite takes what it needs")]
#![allow(unsafe_code, reason = "installs a filter")]

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

const RETURN_ERRNO: u32 = 0x0005_0000;
const RETURN_ALLOW: u32 = 0x7fff_0000;

/// From here on `call` fails with `errno` in the calling thread and those that it makes; if
/// `first_argument` is given, only with that first argument. False where filters cannot be
/// installed.
pub(crate) fn refuse(call: i64, first_argument: Option<u32>, errno: i32) -> bool {
    refuse_where(call, first_argument.map(|value| (0, value)), errno)
}

/// As [`refuse`]; if `argument` is given, only where the argument of that index has that value.
pub(crate) fn refuse_where(call: i64, argument: Option<(u32, u32)>, errno: i32) -> bool {
    let load = |offset| filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let unless_equal =
        |value, skip| filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value);
    let answer = |value| filter(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    // struct seccomp_data: the call's number, the architecture, an address, the arguments.
    let with_argument = [
        load(4),
        unless_equal(ARCH, 5),
        load(0),
        unless_equal(call as u32, 3),
        load(16 + 8 * argument.map_or(0, |(index, _)| index)),
        unless_equal(argument.map_or(0, |(_, value)| value), 1),
        answer(RETURN_ERRNO | errno as u32),
        answer(RETURN_ALLOW),
    ];
    let without = [
        load(4),
        unless_equal(ARCH, 3),
        load(0),
        unless_equal(call as u32, 1),
        answer(RETURN_ERRNO | errno as u32),
        answer(RETURN_ALLOW),
    ];
    let program: &[libc::sock_filter] = if argument.is_some() {
        &with_argument
    } else {
        &without
    };
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads the program, which lives on this frame.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program, 0, 0) == 0
    }
}

fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
