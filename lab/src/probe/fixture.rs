//! The fixture of an experiment: the state that the maker sets up, and the fields that the child fills.
//!
//! The fields lie in memory that stays shared even without `CLONE_VM`; everything else is ordinary
//! state of the maker that the child will try to change.
#![allow(unsafe_code, reason = "shared memory, descriptors and handlers")]

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use super::plan::Plan;
use crate::syscall;

/// What the maker wrote into the buffer before.
pub(crate) const FROM_PARENT: &[u8; 17] = b"hello from parent";
/// What the child writes into it.
pub(crate) const FROM_CHILD: &[u8; 17] = b"hello from child\0";

/// A number that the child notes about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildField {
    /// Its mask at the start.
    Mask,
    /// What its `handler_signal` did at the start: 0 default, 1 ignore, else a handler.
    Handler,
    /// The descriptor it opened, or minus an errno.
    Descriptor,
    /// 0 if it could lock what the maker has locked, or minus an errno.
    Lock,
    /// Where its `errno` lies: a thread-local variable.
    Errno,
    /// 0 if it could raise the semaphore, or minus an errno.
    Semaphore,
    /// 0 if it could set its I/O priority, or minus an errno.
    IoPriority,
    /// 0 if it could change its root, or minus an errno.
    Root,
    /// The errno of an `execve` that returned.
    Exec,
    /// Signals pending for it at the start.
    Pending,
    /// Flags of its alternate signal stack.
    AlternateStack,
    /// The head of its list of robust futexes.
    RobustList,
    /// The word that the kernel will clear at its end.
    ClearedWord,
    /// The signal that it gets when its parent dies.
    DeathSignal,
    /// Seconds that an interval timer has left.
    Timer,
    /// 0 if it has the maker's POSIX timer, or minus an errno.
    PosixTimer,
    /// Microseconds that the CPU clock of its process shows.
    CpuClock,
}

const FIELDS: usize = ChildField::CpuClock as usize + 1;

/// Memory that stays common to maker, observer and child, whatever the flags.
#[repr(C)]
pub(crate) struct ChildFields {
    numbers: [AtomicI64; FIELDS],
    /// `readlink("/proc/thread-self")` by the child: its ids as the maker's /proc sees them, also
    /// from inside a new pid namespace.
    own_link: UnsafeCell<[u8; 64]>,
    own_link_len: AtomicUsize,
}

// SAFETY: `own_link` is written by the child alone, before it stores the length with Release;
// readers load the length with Acquire first.
unsafe impl Sync for ChildFields {}

impl ChildFields {
    fn new() -> &'static Self {
        // SAFETY: a fresh shared mapping, zeroed, page aligned, never unmapped; all-zero bytes are
        // valid atomics and arrays.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert!(page != libc::MAP_FAILED, "no memory for the notes");
            &*page.cast::<Self>()
        }
    }

    pub(crate) fn set(&self, field: ChildField, value: i64) {
        self.numbers[field as usize].store(value, Ordering::Release);
    }

    pub(crate) fn set_answer(&self, field: ChildField, answer: syscall::SysResult) {
        let value = match answer {
            Ok(value) => value as i64,
            Err(errno) => -i64::from(errno),
        };
        self.set(field, value);
    }

    pub(crate) fn get(&self, field: ChildField) -> i64 {
        self.numbers[field as usize].load(Ordering::Acquire)
    }

    /// Called by the child, once.
    pub(crate) fn record_own_link(&self) {
        let link = self.own_link.get();
        // SAFETY: the path ends in NUL, the buffer is 64 bytes long, and only the child writes it.
        let answer = unsafe {
            syscall::syscall(
                libc::SYS_readlinkat,
                [
                    libc::AT_FDCWD as usize,
                    c"/proc/thread-self".as_ptr() as usize,
                    link as usize,
                    64,
                    0,
                    0,
                ],
            )
        };
        self.own_link_len
            .store(answer.unwrap_or(0).min(64), Ordering::Release);
    }

    /// The child's tid in the maker's view, from `PID/task/TID`.
    pub(crate) fn tid(&self) -> Option<i32> {
        let length = self.own_link_len.load(Ordering::Acquire);
        // SAFETY: the length was stored after the bytes, and they are not written again.
        let bytes = unsafe { &(&*self.own_link.get())[..length] };
        let text = std::str::from_utf8(bytes).ok()?;
        text.rsplit('/').next()?.parse().ok()
    }
}

/// What the classic experiment writes to.
pub(crate) struct Buffer(UnsafeCell<[u8; 17]>);

// SAFETY: the child writes it before it reports, the observer reads it after that report came
// through a pipe; with CLONE_VM they are never in it at once.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn write(&self, text: &[u8; 17]) {
        // SAFETY: no task reads it now (see above); volatile because another address space may be the
        // one that looks.
        unsafe { self.0.get().write_volatile(*text) }
    }

    pub(crate) fn read(&self) -> String {
        // SAFETY: no task writes it now (see above).
        let bytes = unsafe { self.0.get().read_volatile() };
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(17);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

/// A pipe: what goes in at `.1` comes out at `.0`.
pub(crate) type Pipe = (RawFd, RawFd);

/// Everything that a child and its observer need; lives as long as the process.
pub(crate) struct Fixture {
    pub(crate) plan: Plan,
    pub(crate) fields: &'static ChildFields,
    pub(crate) buffer: Buffer,
    pub(crate) maker_tid: i32,
    /// The maker came back from the call that made the child.
    pub(crate) maker_returned: AtomicBool,
    /// The child has done its part.
    pub(crate) ready: Pipe,
    /// The child may go on.
    pub(crate) go: Pipe,
    /// The observer has seen everything.
    pub(crate) finished: Pipe,
    /// A file with offset 0 and a record lock of the maker's on its first byte.
    pub(crate) file: RawFd,
    /// A descriptor of the directory /proc: paths may mean something else later.
    pub(crate) proc: RawFd,
    /// The program itself, for a child that calls execve.
    pub(crate) program: &'static CStr,
    /// The semaphore set, with an undo record of the maker's; negative if there is none.
    pub(crate) semaphores: i32,
    /// A POSIX timer of the maker's that is never started; negative if there is none.
    pub(crate) posix_timer: i32,
    /// Microseconds that the CPU clock of the maker's process has shown.
    pub(crate) cpu_time: i64,
    /// Where the maker's `errno` lies: its thread pointer, seen through libc.
    pub(crate) maker_errno: usize,
    /// The mask that the maker had when it made the child.
    pub(crate) mask: u64,
    /// A signal with a handler of the maker's.
    pub(crate) handler_signal: i32,
    /// A signal with the default action, which the child will ignore.
    pub(crate) ignored_signal: i32,
}

/// The maker's I/O priority: best effort, level 6; the child takes level 2.
pub(crate) const MAKER_IO_PRIORITY: usize = (2 << 13) | 6;
pub(crate) const CHILD_IO_PRIORITY: usize = (2 << 13) | 2;
/// The maker's umask and the child's.
pub(crate) const MAKER_UMASK: u32 = 0o022;
pub(crate) const CHILD_UMASK: u32 = 0o077;
/// Where the child leaves the offset of the file.
pub(crate) const CHILD_OFFSET: usize = 4096;

fn pipe() -> Pipe {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert!(made == 0, "no descriptor left for a pipe");
    (ends[0], ends[1])
}

extern "C" fn do_nothing(_: i32) {}

impl Fixture {
    /// Sets the fixture up in the calling process, which serves one experiment and then ends; the
    /// calling thread is the maker.
    pub(crate) fn set_up(plan: Plan) -> &'static Self {
        // Real-time signals that the experiment does not use as exit signal.
        let mut free = (50..=64).filter(|&signal| signal != plan.exit_signal as i32);
        let mut signal = || free.next().unwrap_or(50);
        let (handler_signal, ignored_signal, hole) = (signal(), signal(), signal());

        // SAFETY: constant paths and names; descriptors and handlers of this process alone.
        let (file, proc) = unsafe {
            libc::chdir(c"/proc".as_ptr());
            libc::umask(MAKER_UMASK);
            let file = libc::memfd_create(c"lab".as_ptr(), libc::MFD_CLOEXEC);
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_WRLCK as i16;
            lock.l_len = 1;
            libc::fcntl(file, libc::F_SETLK, &lock);
            let proc = libc::open(c"/proc".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            (file, proc)
        };
        // SAFETY: `do_nothing` is sound as a handler, and libc gives it a restorer.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = do_nothing as *const () as usize;
            libc::sigaction(handler_signal, &action, std::ptr::null_mut());
            // The experiment ends with the lab; and no child of its may have inherited that.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Far away, and its signal is blocked.
            libc::alarm(10_000);
            let who = [1, 0, MAKER_IO_PRIORITY, 0, 0, 0];
            let _ = syscall::syscall(libc::SYS_ioprio_set, who);
        }
        // Everything blocked, so that an exit signal kills no task; except for one signal, so that
        // the mask can be told from others, and for the two that glibc keeps for itself.
        let mask = !(1u64 << (hole - 1) | 0b11 << 31);
        let _ = syscall::set_mask(mask);
        let mask = syscall::set_mask(mask).unwrap_or(mask);
        // One signal waits for the process as a whole.
        // SAFETY: it is blocked, and has a handler.
        unsafe { libc::kill(libc::getpid(), handler_signal) };

        let buffer = Buffer(UnsafeCell::new(*FROM_PARENT));
        Box::leak(Box::new(Self {
            plan,
            fields: ChildFields::new(),
            buffer,
            maker_tid: syscall::gettid(),
            maker_returned: AtomicBool::new(false),
            ready: pipe(),
            go: pipe(),
            finished: pipe(),
            file,
            proc,
            program: c"/proc/self/exe",
            semaphores: semaphore(),
            posix_timer: posix_timer(),
            cpu_time: use_cpu_time(),
            // SAFETY: computes an address.
            maker_errno: unsafe { libc::__errno_location() } as usize,
            mask,
            handler_signal,
            ignored_signal,
        }))
    }

    /// Removes what would outlive the process.
    pub(crate) fn tear_down(&self) {
        // SAFETY: removes the set that `semaphore` made.
        unsafe { libc::semctl(self.semaphores, 0, libc::IPC_RMID) };
    }
}

/// One semaphore of value 1, with an undo record of the maker's, so that the maker has an undo
/// list to share; negative where the kernel has no System V semaphores.
fn semaphore() -> i32 {
    // SAFETY: a new private set; `semop` reads one operation.
    unsafe {
        let set = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
        if set >= 0 {
            let mut up = raise(1);
            libc::semop(set, &mut up, 1);
        }
        set
    }
}

/// A timer that is never started.
fn posix_timer() -> i32 {
    let mut timer = -1i32;
    // SAFETY: the kernel writes one id; without `sigevent` the timer would send SIGALRM.
    let made = unsafe {
        syscall::syscall(
            libc::SYS_timer_create,
            [
                libc::CLOCK_MONOTONIC as usize,
                0,
                (&raw mut timer) as usize,
                0,
                0,
                0,
            ],
        )
    };
    made.map_or(-1, |_| timer)
}

/// Microseconds of the CPU clock of the calling task's process.
pub(crate) fn cpu_time() -> i64 {
    let mut time = [0i64; 2];
    let at = (&raw mut time) as usize;
    // SAFETY: the kernel writes seconds and nanoseconds.
    let asked = unsafe {
        syscall::syscall(
            libc::SYS_clock_gettime,
            [libc::CLOCK_PROCESS_CPUTIME_ID as usize, at, 0, 0, 0, 0],
        )
    };
    asked.map_or(-1, |_| time[0] * 1_000_000 + time[1] / 1000)
}

/// Uses enough CPU time for a clock that begins anew to be told from one that goes on.
fn use_cpu_time() -> i64 {
    loop {
        let time = cpu_time();
        if !(0..5_000).contains(&time) {
            return time;
        }
    }
}

/// The operation that adds `by` and is undone when the undo list dies.
pub(crate) fn raise(by: i16) -> libc::sembuf {
    libc::sembuf {
        sem_num: 0,
        sem_op: by,
        sem_flg: libc::SEM_UNDO as i16,
    }
}
