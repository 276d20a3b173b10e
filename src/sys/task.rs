//! The calling task: ids, name, robust list, rseq area, exit.
#![allow(unsafe_code, reason = "the kernel boundary")]

#[cfg(feature = "hosted")]
use super::arch::syscall4;
use super::arch::{syscall0, syscall1, syscall2, syscall3, syscall5};
use super::errno::Errno;

/// The calling thread's id.
pub(crate) fn tid() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_gettid) as i32 }
}

/// The calling process's id (the thread group's).
pub(crate) fn pid() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_getpid) as i32 }
}

/// The id of the caller's parent as its pid namespace knows it; 0 if it lies outside.
pub(crate) fn parent_pid() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_getppid) as i32 }
}

/// Has the kernel send `signal` to the caller when the thread that made it dies; 0 for none.
pub(crate) fn set_parent_death_signal(signal: i32) -> Result<(), Errno> {
    // SAFETY: the option takes a number; unused arguments are zero.
    let returned = unsafe {
        syscall5(
            libc::SYS_prctl,
            libc::PR_SET_PDEATHSIG as usize,
            signal as usize,
            0,
            0,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// What [`set_parent_death_signal`] set last for the calling thread.
#[cfg(feature = "alloc")]
pub(crate) fn parent_death_signal() -> Result<i32, Errno> {
    let mut signal = 0i32;
    // SAFETY: the kernel writes one int; unused arguments are zero.
    let returned = unsafe {
        syscall5(
            libc::SYS_prctl,
            libc::PR_GET_PDEATHSIG as usize,
            core::ptr::from_mut(&mut signal) as usize,
            0,
            0,
            0,
        )
    };
    Errno::check(returned).map(|_| signal)
}

/// How many pages the kernel has mapped for the calling thread because it touched them; `None` where a
/// filter refuses the question.
#[cfg(feature = "hosted")]
pub(crate) fn page_faults() -> Option<usize> {
    // SAFETY: all-zero bytes are an rusage.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    let place = &raw mut usage;
    // SAFETY: the kernel fills the structure.
    let returned = unsafe {
        syscall2(
            libc::SYS_getrusage,
            libc::RUSAGE_THREAD as usize,
            place as usize,
        )
    };
    Errno::check(returned).ok()?;
    usize::try_from(usage.ru_minflt + usage.ru_majflt).ok()
}

/// Ends every thread of the process.
pub(crate) fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { syscall1(libc::SYS_exit_group, status as usize) };
    }
}

/// Ends the process by SIGABRT, as `abort(3)`.
#[cfg(any(
    feature = "hosted",
    all(feature = "start", not(test)),
    feature = "panic-thread"
))]
pub(crate) fn abort() -> ! {
    use super::signal::{self, SigSet};
    let _ = signal::set_default(libc::SIGABRT);
    let others = SigSet::ALL.without(libc::SIGABRT);
    signal::set_mask(others);
    let _ = signal::send_to_thread(pid(), tid(), libc::SIGABRT);
    // What a shell reports for SIGABRT; init of a pid namespace survives the signal.
    exit_group(128 + libc::SIGABRT)
}

/// Registers `head` as the calling thread's robust-futex list (24 bytes).
///
/// # Safety
/// `head` must stay a valid list head until the thread ends or registers another.
#[cfg(feature = "hosted")]
pub(crate) unsafe fn set_robust_list(head: *mut u8) -> Result<(), Errno> {
    const HEAD_SIZE: usize = 24;
    // SAFETY: the caller vouches for the list.
    Errno::check(unsafe { syscall2(libc::SYS_set_robust_list, head as usize, HEAD_SIZE) }).map(drop)
}

/// The calling thread's robust-list head; null if it has none.
pub(crate) fn robust_list() -> Result<*mut u8, Errno> {
    let mut head: *mut u8 = core::ptr::null_mut();
    let mut len = 0usize;
    // SAFETY: both out-pointers are writable.
    let returned = unsafe {
        syscall3(
            libc::SYS_get_robust_list,
            0,
            core::ptr::from_mut(&mut head) as usize,
            core::ptr::from_mut(&mut len) as usize,
        )
    };
    Errno::check(returned).map(|_| head)
}

/// Sets the word that the kernel clears, and whose futex it wakes, when the calling thread ends.
///
/// # Errors
/// The kernel has none: a filter refuses the call, and the old word stays.
///
/// # Safety
/// `word` must stay writable until the thread has ended.
pub(crate) unsafe fn set_tid_address(word: *mut u32) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the word's life.
    Errno::check(unsafe { syscall1(libc::SYS_set_tid_address, word as usize) }).map(drop)
}

/// Whether the process has no thread but the calling one; false where that is not known. A thread
/// that was joined may count a moment longer.
#[cfg(feature = "hosted")]
pub(crate) fn is_only_thread() -> bool {
    let mut found = core::mem::MaybeUninit::<libc::statx>::uninit();
    // SAFETY: a path with its NUL; the out-pointer is writable.
    let asked = Errno::check(unsafe {
        syscall5(
            libc::SYS_statx,
            libc::AT_FDCWD as usize,
            c"/proc/self/task".as_ptr() as usize,
            0,
            libc::STATX_NLINK as usize,
            found.as_mut_ptr() as usize,
        )
    });
    match asked {
        // A directory of directories: two links of its own, one of each thread (fs/proc/base.c).
        // SAFETY: the kernel filled it.
        Ok(_) => unsafe { found.assume_init() }.stx_nlink == 3,
        // Without /proc: permitted, and without any effect, in a process of one thread.
        // SAFETY: the flag has the kernel look at the thread group and nothing else.
        Err(_) => unsafe { syscall1(libc::SYS_unshare, libc::CLONE_THREAD as usize) == 0 },
    }
}

/// The word that the kernel will clear when the calling thread ends (needs CHECKPOINT_RESTORE).
#[cfg(feature = "hosted")]
pub(crate) fn get_tid_address() -> Result<*mut u32, Errno> {
    const PR_GET_TID_ADDRESS: usize = 40;
    let mut word: *mut u32 = core::ptr::null_mut();
    // SAFETY: the out-pointer is writable.
    let returned = unsafe {
        syscall2(
            libc::SYS_prctl,
            PR_GET_TID_ADDRESS,
            core::ptr::from_mut(&mut word) as usize,
        )
    };
    Errno::check(returned).map(|_| word)
}

/// Registers a restartable-sequences area for the calling thread.
///
/// # Safety
/// `area` must be `len` writable bytes, aligned to 32, for as long as the thread lives.
#[cfg(feature = "hosted")]
pub(crate) unsafe fn register_rseq(area: *mut u8, len: u32, signature: u32) -> Result<(), Errno> {
    // SAFETY: passed on.
    unsafe { rseq(area, len, 0, signature) }
}

/// Undoes [`register_rseq`].
///
/// # Safety
/// No code of the calling thread is inside a restartable sequence.
#[cfg(feature = "hosted")]
pub(crate) unsafe fn unregister_rseq(area: *mut u8, len: u32, signature: u32) -> Result<(), Errno> {
    const UNREGISTER: usize = 1;
    // SAFETY: passed on.
    unsafe { rseq(area, len, UNREGISTER, signature) }
}

/// # Safety
/// As [`register_rseq`].
#[cfg(feature = "hosted")]
unsafe fn rseq(area: *mut u8, len: u32, flags: usize, signature: u32) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the area.
    let returned = unsafe {
        syscall4(
            libc::SYS_rseq,
            area as usize,
            len as usize,
            flags,
            signature as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Gives the calling thread something of its own, as unshare(2) does.
pub(crate) fn unshare(flags: u64) -> Result<(), Errno> {
    // SAFETY: the flags are those of threads, none of which concerns memory.
    Errno::check(unsafe { syscall1(libc::SYS_unshare, flags as usize) }).map(drop)
}

/// The calling thread's comm, NUL-padded.
pub(crate) fn name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes up to 16 bytes.
    unsafe {
        syscall2(
            libc::SYS_prctl,
            libc::PR_GET_NAME as usize,
            name.as_mut_ptr() as usize,
        );
    }
    name
}

/// Sets the calling thread's comm (at most 15 bytes and a NUL).
pub(crate) fn set_name(name: &[u8; 16]) {
    // SAFETY: the kernel reads up to 16 bytes.
    unsafe {
        syscall5(
            libc::SYS_prctl,
            libc::PR_SET_NAME as usize,
            name.as_ptr() as usize,
            0,
            0,
            0,
        )
    };
}
