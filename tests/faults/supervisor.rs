//! Makes the n-th call of one kind fail: a seccomp filter hands each such call to a thread of the same
//! process that the filter does not bind (`seccomp_unotify(2)`), which counts it, and refuses it or lets
//! the kernel go on.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const NOTIF_RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const NOTIF_SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
const FLAG_CONTINUE: u32 = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`, and `..._WAIT_KILLABLE_RECV`: a signal does not interrupt a call
/// that waits for its answer, which would then be counted twice.
const FLAGS: [usize; 2] = [1 << 3 | 1 << 5, 1 << 3];

/// How many calls are to pass before one is refused; [`DISARMED`]: none is; [`ALWAYS`]: each is. Written by the test,
/// and by the supervisor when it refuses; a call's own thread waits for the supervisor, so Relaxed
/// loads see what that thread wrote before its call, through the kernel's lock of the notification.
static PASS: AtomicU32 = AtomicU32::new(DISARMED);
static ERRNO: AtomicU32 = AtomicU32::new(0);
/// What the supervisor does in the place of a refusal, a `fn()`; null: it refuses.
static ACT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
/// The listener's descriptor, or [`NOT_READY`], or [`READY`]: the supervisor runs and waits for it.
static LISTENER: AtomicU32 = AtomicU32::new(NOT_READY);
const NOT_READY: u32 = u32::MAX;
const READY: u32 = u32::MAX - 1;

const DISARMED: u32 = u32::MAX;
const ALWAYS: u32 = u32::MAX - 1;

/// `struct seccomp_notif` (linux/seccomp.h).
#[derive(Default)]
#[repr(C)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

impl Notif {
    /// Whether the call is one that fails: a futex's waits are, its wakes are not.
    fn may_fail(&self) -> bool {
        let operation = self.args[1] as i32 & libc::FUTEX_CMD_MASK;
        i64::from(self.nr) != libc::SYS_futex
            || [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].contains(&operation)
    }
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// The `passed + 1`-th call from now on fails with `errno`, once.
pub(crate) fn arm(passed: u32, errno: i32) {
    ERRNO.store(errno as u32, Ordering::Relaxed);
    PASS.store(passed, Ordering::Release);
}

/// Before the `passed + 1`-th call from now on the supervisor calls `act`, once; no call fails. The caller of a
/// supervised call waits meanwhile, and may hold locks of libc's.
#[allow(dead_code, reason = "for tests/regressions")]
pub(crate) fn act_at(passed: u32, act: fn()) {
    ACT.store(act as *mut (), Ordering::Relaxed);
    PASS.store(passed, Ordering::Release);
}

/// Every call fails with `errno` from now on.
pub(crate) fn refuse_all(errno: i32) {
    ERRNO.store(errno as u32, Ordering::Relaxed);
    PASS.store(ALWAYS, Ordering::Release);
}

/// No call fails any more. Returns whether one did since [`arm`].
pub(crate) fn disarm() -> bool {
    PASS.swap(DISARMED, Ordering::AcqRel) == DISARMED
}

/// From here on the calling thread, and the threads and processes that it makes, have `call` answered by
/// a supervisor. False where the kernel or a sandbox does not allow that.
pub(crate) fn supervise(call: i64) -> bool {
    LISTENER.store(NOT_READY, Ordering::Relaxed);
    disarm();
    // A thread that was made before the filter is not bound by it. It takes no lock of libc's any more
    // when the filter comes: the wake of one would wait for the supervisor, and it for the wake.
    std::thread::spawn(answer_calls);
    while LISTENER.load(Ordering::Acquire) == NOT_READY {
        std::thread::yield_now();
    }
    let Some(listener) = install(call) else {
        return false;
    };
    LISTENER.store(listener, Ordering::Release);
    true
}

fn answer_calls() {
    LISTENER.store(READY, Ordering::Release);
    let listener = loop {
        match LISTENER.load(Ordering::Acquire) {
            READY => std::thread::yield_now(),
            listener => break listener as i32,
        }
    };
    // No allocation and no lock from here on: a supervised thread may hold any while it waits.
    loop {
        let mut notif = Notif::default();
        // SAFETY: the kernel writes a structure of the size that the request's number says.
        if unsafe { libc::ioctl(listener, NOTIF_RECV, &raw mut notif) } == -1 {
            continue;
        }
        let pass = PASS.load(Ordering::Acquire);
        let counts = notif.may_fail();
        let refused = counts && (pass == 0 || pass == ALWAYS);
        if counts && pass < ALWAYS {
            PASS.store(if refused { DISARMED } else { pass - 1 }, Ordering::Release);
        }
        let act = ACT.load(Ordering::Relaxed);
        let acts = refused && !act.is_null();
        if acts {
            // SAFETY: `act_at` stored a function of this type.
            unsafe { std::mem::transmute::<*mut (), fn()>(act)() };
        }
        let refused = refused && !acts;
        let errno = ERRNO.load(Ordering::Relaxed) as i32;
        let response = Response {
            id: notif.id,
            val: 0,
            error: if refused { -errno } else { 0 },
            flags: if refused { 0 } else { FLAG_CONTINUE },
        };
        // SAFETY: as above. A caller that was killed meanwhile is ENOENT.
        unsafe { libc::ioctl(listener, NOTIF_SEND, &raw const response) };
    }
}

fn install(call: i64) -> Option<u32> {
    let step = |code: u32, jf, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    let unless_equal = |value, skip| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value);
    let answer = |value| step(libc::BPF_RET | libc::BPF_K, 0, value);
    // struct seccomp_data: the call's number, the architecture.
    let program = [
        load(4),
        unless_equal(ARCH, 3),
        load(0),
        unless_equal(call as u32, 1),
        answer(libc::SECCOMP_RET_USER_NOTIF),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    FLAGS.into_iter().find_map(|flags| {
        // SAFETY: the kernel reads the program, which lives on this frame.
        let listener = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        u32::try_from(listener).ok()
    })
}
