//! What a new process does to itself between clone and execve.
//!
//! Everything here may run in the child of a `vfork`, on memory shared with its parent: raw system
//! calls, arguments by pointer, nothing written but what the kernel writes for the caller alone.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::{CStr, c_char};

use super::arch::{SYS_DUP2, syscall0, syscall1, syscall2, syscall3, syscall4, syscall5};
use super::errno::Errno;
use super::file::{self, OwnedFd};
use super::limits;

/// Replaces the process's program; returns only if that failed.
///
/// # Safety
/// `arguments` and `environment` must be arrays of NUL-terminated strings that end in null, and
/// `path` such a string. On success nothing of the caller's memory is left.
pub(crate) unsafe fn execve(
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> Errno {
    // SAFETY: the caller vouches for the arrays.
    let returned = unsafe {
        syscall3(
            libc::SYS_execve,
            path as usize,
            arguments as usize,
            environment as usize,
        )
    };
    match Errno::check(returned) {
        Err(errno) => errno,
        Ok(_) => Errno::EINVAL,
    }
}

/// Changes the working directory.
pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path ends in NUL.
    Errno::check(unsafe { syscall1(libc::SYS_chdir, path.as_ptr() as usize) }).map(drop)
}

/// Changes the working directory to an open one.
pub(crate) fn fchdir(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    Errno::check(unsafe { syscall1(libc::SYS_fchdir, fd as usize) }).map(drop)
}

/// Changes the root directory; the working directory stays where it is.
pub(crate) fn chroot(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path ends in NUL.
    Errno::check(unsafe { syscall1(libc::SYS_chroot, path.as_ptr() as usize) }).map(drop)
}

/// Makes the caller the leader of a new session and process group without a terminal.
pub(crate) fn setsid() -> Result<(), Errno> {
    // SAFETY: no arguments, no memory.
    Errno::check(unsafe { syscall0(libc::SYS_setsid) }).map(drop)
}

/// Moves the caller into process group `group`; 0 makes a new one.
pub(crate) fn set_process_group(group: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    Errno::check(unsafe { syscall2(libc::SYS_setpgid, 0, group as usize) }).map(drop)
}

/// Makes the terminal `fd` the controlling one of the caller's session.
pub(crate) fn set_controlling_terminal(fd: i32) -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes a number; 0 means not to steal it from another session.
    let returned = unsafe { syscall3(libc::SYS_ioctl, fd as usize, libc::TIOCSCTTY as usize, 0) };
    Errno::check(returned).map(drop)
}

/// Replaces the calling task's supplementary groups.
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads that many ids.
    let returned = unsafe { syscall2(libc::SYS_setgroups, groups.len(), groups.as_ptr() as usize) };
    Errno::check(returned).map(drop)
}

/// The calling task's supplementary groups; returns how many there are. An empty slice only asks.
pub(crate) fn groups(groups: &mut [u32]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most that many ids.
    let returned = unsafe {
        syscall2(
            libc::SYS_getgroups,
            groups.len(),
            groups.as_mut_ptr() as usize,
        )
    };
    Errno::check(returned)
}

/// Sets the calling task's real, effective and saved group id.
pub(crate) fn set_gid(gid: u32) -> Result<(), Errno> {
    let gid = gid as usize;
    // SAFETY: no memory.
    let set = Errno::check(unsafe { syscall3(libc::SYS_setresgid, gid, gid, gid) });
    set.map(drop)
        .or_else(|errno| set_by_older_call(libc::SYS_setgid, libc::SYS_getresgid, gid, errno))
}

/// Sets the calling task's real, effective and saved user id.
pub(crate) fn set_uid(uid: u32) -> Result<(), Errno> {
    let uid = uid as usize;
    // SAFETY: no memory.
    let set = Errno::check(unsafe { syscall3(libc::SYS_setresuid, uid, uid, uid) });
    set.map(drop)
        .or_else(|errno| set_by_older_call(libc::SYS_setuid, libc::SYS_getresuid, uid, errno))
}

/// A sandbox may know `setuid(2)` alone, which sets all three ids for a caller with the right, and one for any
/// other: `errno` unless all three are set.
fn set_by_older_call(set: i64, get: i64, id: usize, errno: Errno) -> Result<(), Errno> {
    if ![Errno::ENOSYS, Errno::EPERM].contains(&errno) {
        return Err(errno);
    }
    // SAFETY: no memory.
    Errno::check(unsafe { syscall1(set, id) }).map_err(|_| errno)?;
    let mut ids = [0u32; 3];
    let [real, effective, saved] = ids.each_mut().map(|id| core::ptr::from_mut(id) as usize);
    // SAFETY: the kernel writes the three words.
    Errno::check(unsafe { syscall3(get, real, effective, saved) })?;
    match ids.iter().all(|one| *one as usize == id) {
        true => Ok(()),
        false => Err(errno),
    }
}

/// Sets the limits of resource `libc::RLIMIT_*`.
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the kernel reads one rlimit64.
    let returned = unsafe {
        syscall4(
            libc::SYS_prlimit64,
            0,
            resource as usize,
            core::ptr::from_ref(&limit) as usize,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// The limits (soft, hard) of resource `libc::RLIMIT_*`.
pub(crate) fn rlimit(resource: u32) -> Result<(u64, u64), Errno> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit64.
    let returned = unsafe {
        syscall4(
            libc::SYS_prlimit64,
            0,
            resource as usize,
            0,
            core::ptr::from_mut(&mut limit) as usize,
        )
    };
    Errno::check(returned).map(|_| (limit.rlim_cur, limit.rlim_max))
}

fn prctl(option: i32, value: usize) -> Result<usize, Errno> {
    // SAFETY: the options used here take numbers; unused arguments are zero.
    let returned = unsafe { syscall5(libc::SYS_prctl, option as usize, value, 0, 0, 0) };
    Errno::check(returned)
}

/// No execve of the caller or its descendants can gain privileges any more.
pub(crate) fn set_no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Whether the memory of the process may be dumped and traced (0, 1 or 2).
pub(crate) fn dumpable() -> Result<usize, Errno> {
    prctl(libc::PR_GET_DUMPABLE, 0)
}

/// Sets what [`dumpable`] returns.
pub(crate) fn set_dumpable(value: usize) -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, value).map(drop)
}

/// Sets the file mode creation mask.
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: no memory; cannot fail.
    unsafe { syscall1(libc::SYS_umask, mask as usize) };
}

/// Sets the host name of the caller's UTS namespace.
pub(crate) fn set_host_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads that many bytes.
    let returned = unsafe {
        syscall2(
            libc::SYS_sethostname,
            name.as_ptr() as usize,
            name.count_bytes(),
        )
    };
    Errno::check(returned).map(drop)
}

/// `mount(2)`; an absent string is a null pointer.
pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    let address = |text: Option<&CStr>| text.map_or(0, |text| text.as_ptr() as usize);
    // SAFETY: every string ends in NUL; the kernel only reads them.
    let returned = unsafe {
        syscall5(
            libc::SYS_mount,
            address(source),
            target.as_ptr() as usize,
            address(kind),
            flags as usize,
            address(data),
        )
    };
    Errno::check(returned).map(drop)
}

/// Makes descriptor `to` mean what `from` means, open across execve. `from` must differ from `to`.
pub(crate) fn dup3(from: i32, to: i32) -> Result<(), Errno> {
    // SAFETY: no memory; the caller's own descriptor table.
    let returned = unsafe { syscall3(libc::SYS_dup3, from as usize, to as usize, 0) };
    match (Errno::check(returned), SYS_DUP2) {
        // A sandbox may know the older call alone.
        (Err(Errno::ENOSYS | Errno::EPERM), Some(number)) => {
            // SAFETY: as above.
            Errno::check(unsafe { syscall2(number, from as usize, to as usize) })
        }
        (other, _) => other,
    }
    .map(drop)
}

/// A close-on-exec duplicate of `from` at `lowest` or above.
pub(crate) fn dup_above(from: i32, lowest: i32) -> Result<i32, Errno> {
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_fcntl,
            from as usize,
            libc::F_DUPFD_CLOEXEC as usize,
            lowest as usize,
        )
    };
    Errno::check(returned).map(|fd| fd as i32)
}

/// Opens a file as descriptor `number`, open across execve. What `number` was is closed first where no other is
/// left.
pub(crate) fn open_as(number: i32, path: &CStr, flags: i32, mode: u32) -> Result<(), Errno> {
    let opened = open_anywhere(path, flags, mode).or_else(|errno| match errno {
        Errno::EMFILE => {
            close(number);
            open_anywhere(path, flags, mode)
        }
        other => Err(other),
    })?;
    if opened == number {
        return clear_cloexec(opened);
    }
    let moved = dup3(opened, number);
    close(opened);
    moved
}

fn open_anywhere(path: &CStr, flags: i32, mode: u32) -> Result<i32, Errno> {
    // SAFETY: the path ends in NUL.
    let opened = unsafe {
        syscall4(
            libc::SYS_openat,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
            (flags | libc::O_CLOEXEC) as usize,
            mode as usize,
        )
    };
    Errno::check(opened).map(|fd| fd as i32)
}

/// Closes a number of the caller's table, if it is open.
pub(crate) fn close(number: i32) {
    // SAFETY: no memory; the caller's own descriptor table.
    unsafe { syscall1(libc::SYS_close, number as usize) };
}

/// As [`dup_above`].
pub(crate) fn dup_owned(from: i32, lowest: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call made the descriptor for this caller.
    dup_above(from, lowest).map(|fd| unsafe { OwnedFd::from_raw(fd) })
}

/// Whether descriptor `fd` closes at execve.
pub(crate) fn is_cloexec(fd: i32) -> Result<bool, Errno> {
    // SAFETY: only asks.
    let returned = unsafe { syscall2(libc::SYS_fcntl, fd as usize, libc::F_GETFD as usize) };
    Errno::check(returned).map(|flags| flags & libc::FD_CLOEXEC as usize != 0)
}

/// Keeps descriptor `fd` open across execve.
pub(crate) fn clear_cloexec(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe { syscall3(libc::SYS_fcntl, fd as usize, libc::F_SETFD as usize, 0) };
    Errno::check(returned).map(drop)
}

/// Marks every descriptor from `first` up close-on-exec.
///
/// One call from Linux 5.11 on. Before, and where a sandbox refuses it, each that `/proc/self/fd` lists; and
/// without that, each number below RLIMIT_NOFILE, though one opened before the limit was lowered may lie
/// above.
pub(crate) fn set_cloexec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_close_range,
            first as usize,
            u32::MAX as usize,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    if Errno::check(returned).is_ok() {
        return Ok(());
    }
    let mut failed = Ok(());
    let mut mark = |number: u32| {
        if number >= first
            && let Err(errno) = set_cloexec(number as i32)
            && errno.number() != libc::EBADF
        {
            failed = Err(errno);
        }
    };
    let listed =
        file::open(c"/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY).and_then(|directory| {
            file::for_each_entry(&directory, |name| {
                decimal(name).map(&mut mark).unwrap_or(())
            })
        });
    if listed.is_err() {
        let end = limits::rlimit(libc::RLIMIT_NOFILE as _).unwrap_or(u64::MAX);
        // The kernel's own bound on the limit, unless an administrator raised it: fs.nr_open.
        (first..end.min(1 << 20) as u32).for_each(&mut mark);
    }
    failed
}

/// A number that is all of the text.
fn decimal(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Closes descriptor `fd` at execve.
pub(crate) fn set_cloexec(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_fcntl,
            fd as usize,
            libc::F_SETFD as usize,
            libc::FD_CLOEXEC as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Sets the calling thread's nice value.
pub(crate) fn set_nice(value: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_setpriority,
            libc::PRIO_PROCESS as usize,
            0,
            value as isize as usize,
        )
    };
    Errno::check(returned).map(drop)
}
