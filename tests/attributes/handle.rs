use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rawthread::{Builder, Signal};

use crate::support;

/// A thread that runs until it is told to stop.
fn runner() -> (rawthread::JoinHandle<u64>, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let thread = rawthread::spawn(move || {
        let mut turns = 0u64;
        while !seen.load(Ordering::Relaxed) {
            turns += 1;
        }
        turns
    });
    (thread, stop)
}

#[test]
fn signals_reach_the_thread_and_no_other() {
    static HIT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn note(_: i32) {
        HIT.store(unsafe { libc::gettid() } as u32, Ordering::SeqCst);
    }
    unsafe { libc::signal(libc::SIGUSR2, note as *const () as libc::sighandler_t) };
    let (thread, stop) = runner();
    thread.signal(Signal::new(libc::SIGUSR2).unwrap()).unwrap();
    while HIT.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(HIT.load(Ordering::SeqCst), thread.tid() as u32);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn a_thread_that_ended_gets_esrch_and_its_successors_no_signal() {
    let urgent = Signal::new(libc::SIGURG).unwrap();
    for _ in 0..2000 {
        let thread = rawthread::spawn(|| ());
        // Sends race with the end: each is delivered to a live thread or refused.
        loop {
            match thread.signal(urgent) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
                    break;
                }
            }
        }
        assert!(thread.is_finished());
        assert_eq!(
            thread.cpu_time().unwrap_err().raw_os_error(),
            Some(libc::ESRCH)
        );
        thread.join().unwrap();
    }
}

#[test]
fn cpu_time_grows_while_the_thread_works() {
    let (thread, stop) = runner();
    let mut last = Duration::ZERO;
    for _ in 0..3 {
        let before = last;
        while last <= before {
            last = thread.cpu_time().unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn a_pidfd_is_ready_when_the_thread_has_ended() {
    use std::os::fd::AsRawFd;
    let thread = rawthread::spawn(rawthread::park);
    let descriptor = match thread.pidfd() {
        Ok(descriptor) => descriptor,
        Err(error) => {
            println!("SKIP: {error}");
            thread.thread().unpark();
            return thread.join().unwrap();
        }
    };
    let poll = |timeout| {
        let mut set = libc::pollfd {
            fd: descriptor.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        unsafe { libc::poll(&mut set, 1, timeout) }
    };
    assert_eq!(poll(0), 0, "not ready while the thread is parked");
    thread.thread().unpark();
    assert_eq!(poll(-1), 1);
    assert!(thread.is_finished());
    thread.join().unwrap();
}

#[test]
fn the_high_water_mark_follows_the_deepest_frame() {
    fn dig(depth: usize) -> usize {
        let block = std::hint::black_box([1u8; 16 * 1024]);
        if depth == 0 {
            usize::from(block[7])
        } else {
            dig(depth - 1) + usize::from(block[9])
        }
    }
    // Sizes that no other test uses, so that the memory is fresh.
    let build = || Builder::new().stack_size(7 << 20).guard_size(3 * 4096);
    let thread = build().spawn(rawthread::park).unwrap();
    let shallow = thread.stack();
    assert!(shallow.size >= 7 << 20 && shallow.guard >= 3 * 4096);
    assert!(shallow.high_water < 256 * 1024, "{shallow:?}");
    thread.thread().unpark();
    thread.join().unwrap();
    let thread = build()
        .spawn(|| {
            assert!(dig(100) > 0);
            rawthread::park();
        })
        .unwrap();
    while thread.stack().high_water < 100 * 16 * 1024 {
        std::thread::yield_now();
    }
    let deep = thread.stack().high_water;
    // Unoptimised code keeps each block twice.
    assert!(deep < 3 * 100 * 16 * 1024, "{deep}");
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn stack_usage_is_known_in_every_thread() {
    fn used() -> usize {
        let here = rawthread::stack_usage();
        let deeper = deeper();
        assert!(deeper > here + 60 * 1024, "{here} {deeper}");
        here
    }
    #[inline(never)]
    fn deeper() -> usize {
        let block = std::hint::black_box([0u8; 64 * 1024]);
        rawthread::stack_usage() + usize::from(block[0])
    }
    assert!(used() > 0);
    assert!(std::thread::spawn(used).join().unwrap() > 0);
    assert!((1..64 * 1024).contains(&rawthread::spawn(used).join().unwrap()));
}

#[test]
fn a_stack_of_the_callers_own_is_used_and_free_when_the_join_returns() {
    for _ in 0..200 {
        let mut memory = vec![0xa5u8; 128 * 1024];
        let (low, len) = (memory.as_mut_ptr(), memory.len());
        let range = low as usize..low as usize + len;
        let builder = Builder::new();
        // SAFETY: no other code uses the vector until the join.
        let thread = unsafe { builder.stack(low, len) }
            .spawn(move || {
                let local = std::hint::black_box(0u8);
                range.contains(&(&raw const local as usize))
            })
            .unwrap();
        assert_eq!(thread.stack().guard, 0);
        assert!(thread.join().unwrap());
        // The kernel is done with it: what is written now stays.
        memory.fill(7);
        assert!(memory.iter().all(|byte| *byte == 7));
    }
    let builder = Builder::new();
    // SAFETY: refused before use.
    assert!(
        unsafe { builder.stack(std::ptr::null_mut(), 1 << 20) }
            .spawn(|| ())
            .is_err()
    );
}

#[test]
fn unpark_works_from_a_signal_handler() {
    static PARKED: std::sync::OnceLock<rawthread::Thread> = std::sync::OnceLock::new();
    extern "C" fn wake(_: i32) {
        if let Some(thread) = PARKED.get() {
            thread.unpark();
        }
    }
    unsafe { libc::signal(libc::SIGWINCH, wake as *const () as libc::sighandler_t) };
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let sleeper = rawthread::spawn(move || {
        while !seen.load(Ordering::Acquire) {
            rawthread::park();
        }
    });
    PARKED.set(sleeper.thread().clone()).unwrap();
    done.store(true, Ordering::Release);
    let (runner, stop) = runner();
    runner.signal(Signal::new(libc::SIGWINCH).unwrap()).unwrap();
    sleeper.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    runner.join().unwrap();
}

#[test]
fn a_scoped_handle_does_all_that_a_handle_does() {
    use std::time::Instant;
    let release = AtomicBool::new(false);
    rawthread::scope(|s| {
        let handle = s.spawn(|| {
            while !release.load(Ordering::Acquire) {
                rawthread::park();
            }
            unsafe { libc::gettid() }
        });
        let tid = handle.tid();
        handle.signal(Signal::new(libc::SIGURG).unwrap()).unwrap();
        handle.cpu_time().unwrap();
        assert!(handle.stack().size >= 2 << 20 && handle.stack().guard > 0);
        if let Err(error) = handle.pidfd() {
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            println!("SKIP: {error}");
        }
        let handle = handle.try_join().unwrap_err();
        let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
        let handle = handle.join_deadline(Instant::now()).unwrap_err();
        assert!(!handle.is_finished());
        release.store(true, Ordering::Release);
        handle.thread().unpark();
        assert_eq!(handle.join_reaped().unwrap(), tid);
        if !support::by_libc() {
            assert!(!std::path::Path::new(&format!("/proc/self/task/{tid}")).exists());
        }
        // Each way of joining takes a panic off the scope.
        let panicking = || -> rawthread::ScopedJoinHandle<'_, ()> {
            let handle = s.spawn(|| panic!("expected by this test"));
            while !handle.is_finished() {
                std::thread::yield_now();
            }
            handle
        };
        assert!(panicking().join().is_err());
        assert!(panicking().join_reaped().is_err());
        assert!(panicking().try_join().unwrap().is_err());
        assert!(panicking().join_timeout(Duration::ZERO).unwrap().is_err());
        let joined = panicking().join_deadline(Instant::now()).unwrap();
        assert!(joined.is_err());
    });
}

/// A thread that left by `exit(2)` itself: its number is given to another, which its handle does not reach.
#[test]
fn a_handle_does_not_reach_another_thread_of_the_same_tid() {
    const NAME: &str = "handle::a_handle_does_not_reach_another_thread_of_the_same_tid";
    if crate::support::by_libc() || !crate::common::in_subprocess(NAME) {
        return;
    }
    let thread = rawthread::spawn(|| {
        rawthread::park();
        // Nothing of the thread is used again.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    let tid = thread.tid();
    thread.cpu_time().unwrap();
    thread.thread().unpark();
    let task = format!("/proc/self/task/{tid}");
    crate::common::poll_until("it has left", || !std::path::Path::new(&task).exists());
    let is_taken = (0..200).any(|_| {
        let last = std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string());
        if last.is_err() {
            return false;
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let own = unsafe { libc::gettid() };
            sender.send(own).unwrap();
            if own == tid {
                loop {
                    std::thread::park();
                }
            }
        });
        receiver.recv().unwrap() == tid
    });
    if !is_taken {
        println!("SKIP: the tid cannot be given to another thread");
    }
    let esrch = Some(libc::ESRCH);
    assert_eq!(thread.cpu_time().unwrap_err().raw_os_error(), esrch);
    let signal = Signal::new(libc::SIGCONT).unwrap();
    assert_eq!(thread.signal(signal).unwrap_err().raw_os_error(), esrch);
    assert!(thread.affinity().is_err() && thread.scheduling().is_err());
    std::mem::forget(thread);
}
