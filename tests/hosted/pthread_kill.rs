//! What libc does with the handle of a thread that is ending or has ended. `pthread_kill`: the tid that
//! it sends to is that thread's as long as it sends.
//!
//! A filter stops the sender inside of `pthread_kill`, right before the kernel sends, and asks this
//! process when to go on (`SECCOMP_RET_USER_NOTIF`). So the order of events is the test's own.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use crate::common::{in_subprocess, poll_until};
use crate::util::{full, on_raw};

/// Which thread handled `SIGURG` last.
static HANDLED_BY: AtomicI32 = AtomicI32::new(0);

fn note_signals() {
    extern "C" fn handler(_: i32) {
        // SAFETY: asks.
        HANDLED_BY.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    }
    // SAFETY: SIGURG is ignored by default, and this process's; the handler only stores a number.
    unsafe { libc::signal(libc::SIGURG, handler as *const () as usize) };
}

fn own_handle() -> usize {
    // SAFETY: asks.
    unsafe { libc::pthread_self() as usize }
}

/// # Safety
/// The handle is of a thread that is not joined yet.
unsafe fn send(handle: usize) -> i32 {
    // SAFETY: passed on.
    unsafe { libc::pthread_kill(handle as libc::pthread_t, libc::SIGURG) }
}

/// Whether `pthread_kill` of this libc holds something while it sends; says so where it does not.
fn holds_a_lock() -> bool {
    let host = rawthread::host().unwrap();
    let minor = host.version().and_then(|version| {
        let minor = version.strip_prefix("2.")?.split('.').next()?;
        minor.parse::<u32>().ok()
    });
    // Since 2.35, and in patched 2.34. musl's own protocol is tried by its own threads.
    let holds = full() && minor.is_some_and(|minor| minor >= 35);
    if !holds {
        println!("SKIP: {host}: pthread_kill holds no lock that is known");
    }
    holds
}

/// Whether the kernel still has the thread.
fn is_there(tid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) == 0 }
}

/// Whether the thread sleeps on a futex in libc's description of it.
fn waits_for_its_own_lock(tid: i32, handle: usize) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall")) else {
        return false;
    };
    let mut words = text.split_ascii_whitespace();
    let is_futex = words.next() == Some(&libc::SYS_futex.to_string());
    let address = words
        .next()
        .and_then(|word| usize::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    is_futex && address.is_some_and(|address| (handle..handle + 4096).contains(&address))
}

/// Runs `meanwhile` while another thread stands inside of `pthread_kill` at the thread of the handle;
/// what `pthread_kill` returned. `None`, with the reason printed: there are no such filters here.
fn amid_pthread_kill(handle: usize, meanwhile: impl FnOnce()) -> Option<i32> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let killer = std::thread::spawn(move || {
        sender.send(notify::before_sending(libc::SIGURG)).unwrap();
        // SAFETY: `meanwhile` does not join the thread.
        unsafe { send(handle) }
    });
    let listener = match receiver.recv().unwrap() {
        Ok(listener) => listener,
        Err(error) => {
            println!("SKIP: no filter that asks: {error}");
            killer.join().unwrap();
            return None;
        }
    };
    let stopped = listener.receive();
    meanwhile();
    listener.go_on(stopped);
    Some(killer.join().unwrap())
}

#[test]
fn a_thread_keeps_its_tid_while_pthread_kill_sends_to_it() {
    if !in_subprocess("pthread_kill::a_thread_keeps_its_tid_while_pthread_kill_sends_to_it") {
        return;
    }
    if !holds_a_lock() {
        return;
    }
    note_signals();
    // The first thread on its slot, one on a slot that was used, and a second on it.
    for round in 0..3 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let end = std::sync::Arc::new(AtomicBool::new(false));
        let told = end.clone();
        let thread = rawthread::spawn(move || {
            sender.send(own_handle()).unwrap();
            while !told.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        });
        let handle = receiver.recv().unwrap();
        let tid = thread.tid();
        let sent = amid_pthread_kill(handle, || {
            end.store(true, Ordering::Release);
            poll_until("the thread waits for the sender, or is gone", || {
                waits_for_its_own_lock(tid, handle) || !is_there(tid)
            });
            assert!(
                is_there(tid),
                "round {round}: its tid was free to be given away"
            );
        });
        // Where there are no such filters it was not told.
        end.store(true, Ordering::Release);
        thread.join().unwrap();
        assert!(matches!(sent, None | Some(0)), "{sent:?}");
    }
}

#[test]
fn pthread_kill_at_an_ended_thread_signals_none_and_at_its_successor_that_one() {
    if !in_subprocess(
        "pthread_kill::pthread_kill_at_an_ended_thread_signals_none_and_at_its_successor_that_one",
    ) {
        return;
    }
    if !holds_a_lock() {
        return;
    }
    note_signals();
    let mut handles = std::collections::HashSet::new();
    for _ in 0..5 {
        HANDLED_BY.store(0, Ordering::Relaxed);
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = rawthread::spawn(move || {
            let handle = own_handle();
            sender.send(handle).unwrap();
            rawthread::park();
            handle
        });
        let handle = receiver.recv().unwrap();
        handles.insert(handle);
        // SAFETY: the thread is parked.
        assert_eq!(unsafe { send(handle) }, 0);
        poll_until("the handler runs there", || {
            HANDLED_BY.load(Ordering::Relaxed) == thread.tid()
        });
        HANDLED_BY.store(0, Ordering::Relaxed);
        let tid = thread.tid();
        thread.thread().unpark();
        poll_until("the thread is gone", || !is_there(tid));
        // As of a pthread. A program that is linked with a glibc before 2.34 gets ESRCH.
        // SAFETY: it is not joined.
        let sent = unsafe { send(handle) };
        assert!([0, libc::ESRCH].contains(&sent), "{sent}");
        assert_eq!(HANDLED_BY.load(Ordering::Relaxed), 0);
        assert_eq!(thread.join().unwrap(), handle);
    }
    println!("{} control blocks for 5 threads", handles.len());
}

/// To libc it is a thread while it runs, and none when it has ended.
#[test]
fn clocks_and_scheduling_of_an_ended_thread_are_refused() {
    if !full() || rawthread::host().unwrap().libc() != "glibc" {
        println!("SKIP: what this libc says of an ended thread is not known");
        return;
    }
    // SAFETY: plain structures; a handle of a thread that is not joined yet.
    let answers = |handle: usize| unsafe {
        let handle = handle as libc::pthread_t;
        let (mut clock, mut policy) = (0, 0);
        let mut param = std::mem::zeroed::<libc::sched_param>();
        [
            libc::pthread_getcpuclockid(handle, &mut clock),
            libc::pthread_getschedparam(handle, &mut policy, &mut param),
            libc::pthread_setschedparam(handle, libc::SCHED_OTHER, &param),
        ]
    };
    for _ in 0..3 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = rawthread::spawn(move || {
            sender.send(own_handle()).unwrap();
            rawthread::park();
        });
        let handle = receiver.recv().unwrap();
        assert_eq!(answers(handle), [0; 3]);
        let tid = thread.tid();
        thread.thread().unpark();
        poll_until("the thread is gone", || !is_there(tid));
        assert_eq!(answers(handle), [libc::ESRCH; 3]);
        thread.join().unwrap();
    }
}

/// The lock is copied with the process. In the child the sender does not exist.
#[test]
fn a_thread_that_forked_amid_pthread_kill_ends_in_the_child() {
    static HANDLE: AtomicUsize = AtomicUsize::new(0);
    static FORK: AtomicBool = AtomicBool::new(false);
    static PID: AtomicI32 = AtomicI32::new(0);
    if !in_subprocess("pthread_kill::a_thread_that_forked_amid_pthread_kill_ends_in_the_child") {
        return;
    }
    if !holds_a_lock() {
        return;
    }
    // glibc leaves it locked, so the child of a pthread hangs.
    if crate::support::by_libc() {
        return;
    }
    note_signals();
    on_raw(|| ());
    let thread = rawthread::spawn(|| {
        HANDLE.store(own_handle(), Ordering::Release);
        while !FORK.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: the child has this thread only, and uses this crate and what fork keeps in order.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            crate::common::watchdog(60);
            // SAFETY: asks.
            let forker = unsafe { libc::gettid() };
            rawthread::spawn(move || {
                poll_until("the thread that forked has ended", || !has_task(forker));
                // SAFETY: ends the child without the test harness.
                unsafe { libc::_exit(0) }
            });
        }
        PID.store(pid, Ordering::Release);
    });
    poll_until("the thread runs", || HANDLE.load(Ordering::Acquire) != 0);
    let sent = amid_pthread_kill(HANDLE.load(Ordering::Acquire), || {
        FORK.store(true, Ordering::Release);
        poll_until("the child was made", || PID.load(Ordering::Acquire) != 0);
    });
    FORK.store(true, Ordering::Release);
    thread.join().unwrap();
    assert!(matches!(sent, None | Some(0)), "{sent:?}");
    let mut status = 0;
    // SAFETY: a child of this process.
    unsafe { libc::waitpid(PID.load(Ordering::Acquire), &mut status, 0) };
    assert_eq!(status, 0, "the child: {status:#x}");
}

/// Whether the process has a task of this id that runs. The first one stays until its process ends.
fn has_task(tid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/self/task/{tid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z"))
}

/// `seccomp_unotify(2)`.
mod notify {
    use std::os::fd::AsRawFd;

    use super::{FromRawFd, OwnedFd};

    pub(super) struct Listener(OwnedFd);

    /// From here on the calling thread stops before it sends `signal` by tgkill(2), until the
    /// listener has it go on.
    pub(super) fn before_sending(signal: i32) -> std::io::Result<Listener> {
        let instruction = |code, jt, jf, k| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
        let unless =
            |value, skip| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value);
        let answer = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
        // struct seccomp_data: the call's number, and the third argument.
        let program = [
            load(0),
            unless(libc::SYS_tgkill as u32, 3),
            load(32),
            unless(signal as u32, 1),
            answer(libc::SECCOMP_RET_USER_NOTIF),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel reads the program, which lives on this frame; the descriptor is new.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let returned = libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &raw const program,
            );
            if returned < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(Listener(OwnedFd::from_raw_fd(returned as i32)))
        }
    }

    impl Listener {
        /// Waits until the thread has stopped.
        pub(super) fn receive(&self) -> u64 {
            // SAFETY: the kernel fills the structure, which must be zeroes.
            unsafe {
                let mut stopped: libc::seccomp_notif = std::mem::zeroed();
                let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
                let returned = libc::ioctl(self.0.as_raw_fd(), request, &raw mut stopped);
                assert_eq!(returned, 0, "{}", std::io::Error::last_os_error());
                stopped.id
            }
        }

        /// Has the thread make its call.
        pub(super) fn go_on(&self, stopped: u64) {
            // SAFETY: the kernel reads the structure.
            unsafe {
                let mut response: libc::seccomp_notif_resp = std::mem::zeroed();
                response.id = stopped;
                response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
                let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
                let returned = libc::ioctl(self.0.as_raw_fd(), request, &raw mut response);
                assert_eq!(returned, 0, "{}", std::io::Error::last_os_error());
            }
        }
    }
}
