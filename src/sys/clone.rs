//! `clone(2)` and `clone3(2)`: one request, and the call of the two that the system admits.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::arch::{self, ChildEntry};
use super::errno::Errno;

/// `CLONE_INTO_CGROUP`: too wide for the constant that libc offers.
const INTO_CGROUP: u64 = 1 << 33;

/// A request: the kernel's `struct clone_args` (include/uapi/linux/sched.h), from which the arguments
/// of both system calls are taken. Addresses are words, as all machines of this crate have 64 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloneArgs {
    pub(crate) flags: u64,
    pub(crate) pidfd: usize,
    pub(crate) child_tid: usize,
    pub(crate) parent_tid: usize,
    pub(crate) exit_signal: u64,
    /// Lowest address of the new stack; 0 with `stack_size` 0 means the caller's own.
    pub(crate) stack: usize,
    /// In bytes; `stack + stack_size` must be aligned to 16.
    pub(crate) stack_size: usize,
    pub(crate) tls: usize,
    pub(crate) set_tid: usize,
    pub(crate) set_tid_size: usize,
    pub(crate) cgroup: u64,
}

const _: () = assert!(size_of::<CloneArgs>() == size_of::<libc::clone_args>());

impl CloneArgs {
    /// The size that is passed to `clone3`: the whole structure (version 2, Linux 5.7), or only the
    /// 64 bytes that Linux 5.3 knows where the rest is zero.
    fn size(&self) -> usize {
        const SIZE_VER0: usize = 64;
        let plain = self.set_tid == 0 && self.set_tid_size == 0 && self.flags & INTO_CGROUP == 0;
        if plain { SIZE_VER0 } else { size_of::<Self>() }
    }

    /// Whether legacy `clone` can express this request.
    fn fits_clone(&self) -> bool {
        let newtime_or_signal = self.flags & 0xff;
        self.flags >> 32 == 0
            && newtime_or_signal == 0
            && self.exit_signal <= 0xff
            && self.set_tid_size == 0
            // Legacy clone stores the pidfd through the parent-tid pointer.
            && (self.pidfd == 0 || self.parent_tid == 0)
    }

    fn legacy_flags(&self) -> usize {
        (self.flags | self.exit_signal) as usize
    }

    fn legacy_parent_tid(&self) -> usize {
        if self.pidfd != 0 {
            self.pidfd
        } else {
            self.parent_tid
        }
    }
}

/// Whether `clone3` was refused where `clone` was not: by an old kernel (ENOSYS) or by a seccomp
/// filter (ENOSYS, EPERM), which can be installed at any time.
///
/// | value | meaning |
/// |---|---|
/// | `false` | not seen: try `clone3` first |
/// | `true` | seen once: `clone` is used for every request that it can express |
///
/// Relaxed: the value only chooses between two calls of the same effect; a stale `false` costs one
/// more refused call.
static CLONE3_REFUSED: AtomicBool = AtomicBool::new(false);

/// Calls `clone3` and, if the kernel or a seccomp filter refuses that call itself, `clone`.
///
/// A filter may return EPERM as well as ENOSYS (moby#42680). EPERM can also be the kernel's own
/// error for a privileged flag: then legacy clone with the same flags returns EPERM again.
fn clone3_or_clone(
    request: &CloneArgs,
    clone3: impl Fn(*const libc::clone_args, usize) -> isize,
    clone: impl Fn(&CloneArgs) -> isize,
) -> Result<i32, Errno> {
    let legacy = || Errno::check(clone(request)).map(|tid| tid as i32);
    if CLONE3_REFUSED.load(Ordering::Relaxed) && request.fits_clone() {
        return legacy();
    }
    let args = core::ptr::from_ref(request).cast();
    match Errno::check(clone3(args, request.size())) {
        Err(Errno::ENOSYS | Errno::EPERM) if request.fits_clone() => {
            let second = legacy();
            if let Ok(1..) = second {
                CLONE3_REFUSED.store(true, Ordering::Relaxed);
            }
            second
        }
        answer => answer.map(|tid| tid as i32),
    }
}

/// Whether a filter answers EPERM to `clone3` whatever is asked of it: to a size of 0 the kernel answers
/// EINVAL.
pub(crate) fn is_clone3_filtered() -> bool {
    // SAFETY: the size is refused before anything is read, and no task is made.
    let answer = unsafe { arch::syscall2(libc::SYS_clone3, 0, 0) };
    Errno::check(answer) == Err(Errno::EPERM)
}

/// Creates a task that calls `entry(argument)` on the stack of `request`; returns its tid.
///
/// # Errors
/// The kernel's; see `flags::verdict` for why.
///
/// # Safety
/// The stack must be writable, used by no other thread, and its end aligned to 16; `entry` must be
/// sound to run with what the flags share, on that stack, with that thread pointer; the words
/// that the request has the kernel write must stay valid until it has written them.
pub(crate) unsafe fn clone_onto_stack(
    request: &CloneArgs,
    entry: ChildEntry,
    argument: *mut u8,
) -> Result<i32, Errno> {
    debug_assert!(request.stack != 0 && (request.stack + request.stack_size).is_multiple_of(16));
    clone3_or_clone(
        request,
        // SAFETY: the caller's contract is this call's.
        |args, size| unsafe { arch::clone3_and_call(args, size, entry, argument) },
        // SAFETY: the same request as arguments of the other call.
        |request| unsafe {
            arch::clone_and_call(
                request.legacy_flags(),
                (request.stack + request.stack_size) as *mut u8,
                request.legacy_parent_tid() as *mut u32,
                request.child_tid as *mut u32,
                request.tls,
                entry,
                argument,
            )
        },
    )
}

/// Creates a task that returns from this call, as `fork` does: with `Ok(0)` in the child.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// Without `CLONE_VM`, the usual rules of `fork` hold in the child. With it, parent and child
/// would run on one stack: forbidden (debug-asserted) here; use [`clone_onto_stack`].
pub(crate) unsafe fn clone_fork(request: &CloneArgs) -> Result<i32, Errno> {
    debug_assert!(request.flags & libc::CLONE_VM as u64 == 0);
    clone3_or_clone(
        request,
        // SAFETY: the child has its own copy of this stack.
        |args, size| unsafe { arch::syscall2(libc::SYS_clone3, args as usize, size) },
        // SAFETY: as above.
        |request| unsafe { legacy_fork(request) },
    )
}

/// `clone` on the caller's own stack.
///
/// # Safety
/// As [`clone_fork`].
unsafe fn legacy_fork(request: &CloneArgs) -> isize {
    let [fourth, fifth] = arch::order_clone_tail(request.child_tid, request.tls);
    // SAFETY: the caller vouches for the request; a stack of 0 is the caller's own.
    unsafe {
        arch::syscall5(
            libc::SYS_clone,
            request.legacy_flags(),
            0,
            request.legacy_parent_tid(),
            fourth,
            fifth,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{task, wait};
    use core::sync::atomic::AtomicU32;

    /// The architectures differ in the order of clone's last two arguments; in the wrong order the
    /// kernel does not find the word.
    #[test]
    fn legacy_clone_finds_the_childs_tid_word() {
        let word = AtomicU32::new(0);
        let request = CloneArgs {
            flags: libc::CLONE_CHILD_SETTID as u64,
            exit_signal: libc::SIGCHLD as u64,
            child_tid: word.as_ptr() as usize,
            ..CloneArgs::default()
        };
        // SAFETY: without CLONE_VM; the child makes system calls only.
        let pid = unsafe { legacy_fork(&request) } as i32;
        if pid == 0 {
            let is_set = word.load(Ordering::Relaxed) == task::tid() as u32;
            task::exit_group(i32::from(!is_set));
        }
        assert!(pid > 0, "{pid}");
        let info = wait::waitid(libc::P_PID, pid as u32, libc::WEXITED, None);
        let info = info.expect("a child to wait for");
        // SAFETY: waitid filled the part that describes a child.
        assert_eq!(unsafe { info.si_status() }, 0);
    }
}
