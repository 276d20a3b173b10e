//! Threads, and handles of threads, in the child of a fork.

use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use rawthread::flags::CloneFlags;
use rawthread::{JoinHandle, JoinSet, Signal, process, warm};

use super::common::{in_subprocess, poll_until, watchdog};

/// What a child says when all was as it should be.
const GOOD: i32 = 17;

/// Forks; the child runs `child` under a watchdog and exits with what it returns.
fn in_child(child: impl FnOnce() -> i32) -> i32 {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(20);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        unsafe { libc::_exit(result.unwrap_or(99)) };
    }
    status_of(pid)
}

/// The exit code of a child, or minus the signal that ended it.
fn status_of(pid: i32) -> i32 {
    assert!(pid > 0);
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -libc::WTERMSIG(status)
    }
}

fn root() -> bool {
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("SKIP: changing ids needs root");
    }
    root
}

/// Gives up root in all threads of this process, and asks each of eight raw ones.
fn every_thread_loses_root() -> bool {
    const NOBODY: u32 = 65534;
    let gate = Arc::new(Barrier::new(9));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let gate = gate.clone();
            rawthread::spawn(move || {
                gate.wait();
                gate.wait();
                unsafe { libc::syscall(libc::SYS_geteuid) as u32 }
            })
        })
        .collect();
    gate.wait();
    let changed = unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) } == 0;
    gate.wait();
    let ids: Vec<u32> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    changed && ids.iter().all(|id| *id == NOBODY)
}

fn finished<T>(handle: JoinHandle<T>) -> JoinHandle<T> {
    poll_until("the thread ends", || handle.is_finished());
    handle
}

/// The slot of a thread of the parent's went to the child's cache, with a TCB that the
/// child's libc does not know.
#[test]
fn a_handle_of_an_ended_thread_gives_the_child_its_result_and_nothing_else() {
    if !in_subprocess(
        "forked_child::a_handle_of_an_ended_thread_gives_the_child_its_result_and_nothing_else",
    ) || !root()
    {
        return;
    }
    for joined in [true, false] {
        let handles: Vec<_> = (0..4).map(|n| rawthread::spawn(move || n)).collect();
        let handles: Vec<_> = handles.into_iter().map(finished).collect();
        let code = in_child(|| {
            rawthread::spawn(|| ()).join().unwrap();
            for (n, handle) in handles.into_iter().enumerate() {
                if joined {
                    assert_eq!(handle.join().unwrap(), n);
                }
            }
            assert!(every_thread_loses_root());
            rawthread::trim();
            rawthread::spawn(|| GOOD).join().unwrap()
        });
        assert_eq!(code, GOOD, "joined: {joined}");
    }
}

/// The same by way of a child process that had a TCB of its own.
#[test]
fn a_handle_of_a_process_gives_the_child_no_tcb() {
    if !in_subprocess("forked_child::a_handle_of_a_process_gives_the_child_no_tcb") || !root() {
        return;
    }
    // SAFETY: the child only returns.
    let handle = unsafe { process::Builder::new().flags(CloneFlags::VM).spawn(|| 0) }.unwrap();
    let Some(pidfd) = handle.raw_pidfd() else {
        println!("SKIP: no pidfd");
        return;
    };
    let mut wanted = libc::pollfd {
        fd: pidfd,
        events: libc::POLLIN,
        revents: 0,
    };
    assert_eq!(unsafe { libc::poll(&mut wanted, 1, 60_000) }, 1);
    let mut kept = Some(handle);
    let code = in_child(|| {
        rawthread::spawn(|| ()).join().unwrap();
        drop(kept.take());
        assert!(every_thread_loses_root());
        rawthread::trim();
        GOOD
    });
    assert_eq!(code, GOOD);
    assert_eq!(kept.unwrap().wait().unwrap().code(), Some(0));
}

/// Whether this panics with the message of a join that cannot be.
fn is_refused<R>(join: impl FnOnce() -> R) -> bool {
    let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(join)) else {
        return false;
    };
    let text = match payload.downcast_ref::<String>() {
        Some(text) => text.as_str(),
        None => payload.downcast_ref::<&str>().copied().unwrap_or(""),
    };
    text.starts_with("failed to join thread: ")
}

#[test]
fn joining_a_thread_of_the_parent_panics_in_the_child() {
    if !in_subprocess("forked_child::joining_a_thread_of_the_parent_panics_in_the_child") {
        return;
    }
    for spawn in [rawthread::spawn as fn(_) -> _, warm::spawn as fn(_) -> _] {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads: Vec<JoinHandle<()>> = (0..5)
            .map(|_| {
                let stop = stop.clone();
                let wait = move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                };
                spawn(Box::new(wait) as Box<dyn FnOnce() + Send>)
            })
            .collect();
        let code = in_child(|| {
            let long = Duration::from_secs(3600);
            let handle = threads.pop().unwrap();
            assert!(!handle.is_finished());
            let zero = Signal::new(libc::SIGCONT).unwrap();
            assert_eq!(
                handle.signal(zero).unwrap_err().raw_os_error(),
                Some(libc::ESRCH)
            );
            assert_eq!(
                handle.cpu_time().unwrap_err().raw_os_error(),
                Some(libc::ESRCH)
            );
            assert!(is_refused(|| handle.join()));
            let handle = threads.pop().unwrap();
            assert!(is_refused(|| handle.try_join().is_ok()));
            let handle = threads.pop().unwrap();
            assert!(is_refused(|| handle.join_timeout(long).is_ok()));
            let handle = threads.pop().unwrap();
            assert!(is_refused(|| handle
                .join_deadline(Instant::now() + long)
                .is_ok()));
            drop(threads.pop().unwrap());
            rawthread::spawn(|| GOOD).join().unwrap()
        });
        assert_eq!(code, GOOD);
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_scope_waits_in_the_child_for_the_childs_threads_alone() {
    if !in_subprocess("forked_child::a_scope_waits_in_the_child_for_the_childs_threads_alone") {
        return;
    }
    let stop = AtomicBool::new(false);
    let ended = AtomicBool::new(false);
    let pid = rawthread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            watchdog(20);
            s.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                ended.store(true, Ordering::Relaxed);
            });
        } else {
            stop.store(true, Ordering::Relaxed);
        }
        pid
    });
    if pid == 0 {
        let code = if ended.load(Ordering::Relaxed) {
            GOOD
        } else {
            18
        };
        unsafe { libc::_exit(code) };
    }
    assert_eq!(status_of(pid), GOOD);
}

#[test]
fn a_set_gives_the_child_what_ended_before_and_panics_for_the_rest() {
    if !in_subprocess(
        "forked_child::a_set_gives_the_child_what_ended_before_and_panics_for_the_rest",
    ) {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut set = JoinSet::new();
    let tasks = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = tasks();
    set.spawn(|| 1);
    poll_until("the first has ended", || tasks() == before);
    let stopped = stop.clone();
    set.spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        2
    });
    let code = in_child(|| {
        assert_eq!(set.join_next().unwrap().unwrap(), 1);
        assert!(set.try_join_next().is_none());
        set.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            3
        });
        assert_eq!(set.join_next().unwrap().unwrap(), 3);
        assert!(is_refused(|| set.join_next().is_some()));
        assert_eq!(set.len(), 1);
        drop(std::mem::take(&mut set));
        GOOD
    });
    assert_eq!(code, GOOD);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(set.join_next().unwrap().unwrap(), 1);
    assert_eq!(set.join_next().unwrap().unwrap(), 2);
}

/// libc's fork has the kernel clear another word at the forking thread's end.
#[test]
fn the_thread_that_forked_can_be_joined_in_the_child() {
    if !in_subprocess("forked_child::the_thread_that_forked_can_be_joined_in_the_child") {
        return;
    }
    for spawn in [rawthread::spawn as fn(_) -> _, warm::spawn as fn(_) -> _] {
        let place = Arc::new(Mutex::new(None::<JoinHandle<i32>>));
        let kept = place.clone();
        let stored = Arc::new(Barrier::new(2));
        let wait = stored.clone();
        let fork = move || {
            wait.wait();
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                watchdog(20);
                let handle = kept.lock().unwrap().take().unwrap();
                assert_eq!(handle.tid(), unsafe { libc::gettid() });
                rawthread::spawn(move || {
                    let result = handle.join().unwrap();
                    unsafe { libc::_exit(if result == 0 { GOOD } else { 18 }) };
                });
            }
            pid
        };
        *place.lock().unwrap() = Some(spawn(Box::new(fork) as Box<dyn FnOnce() -> i32 + Send>));
        stored.wait();
        let mut pid = None;
        poll_until("the thread has forked", || {
            let mut place = place.lock().unwrap();
            match place.take().map(JoinHandle::try_join) {
                Some(Ok(result)) => pid = Some(result.unwrap()),
                Some(Err(handle)) => *place = Some(handle),
                None => {}
            }
            pid.is_some()
        });
        assert_eq!(status_of(pid.unwrap()), GOOD);
    }
}

static EXIT_PIPE: Mutex<i32> = Mutex::new(-1);

/// What a pthread's return as the last thread of a process does is lost by a bare exit of the
/// kernel thread. A warm one stayed for its idle time first.
#[test]
fn the_child_ends_as_with_a_pthread_when_its_thread_returns() {
    extern "C" fn at_exit() {
        let text = b"atexit\n";
        unsafe { libc::write(*EXIT_PIPE.lock().unwrap(), text.as_ptr().cast(), text.len()) };
    }
    fn fork(spawn_first: bool) -> i32 {
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            watchdog(20);
            unsafe {
                libc::atexit(at_exit);
                let file = libc::fdopen(*EXIT_PIPE.lock().unwrap(), c"w".as_ptr());
                libc::fputs(c"stdio\n".as_ptr(), file);
            }
            if spawn_first {
                rawthread::spawn(|| ()).join().unwrap();
            }
        }
        pid
    }
    if !in_subprocess("forked_child::the_child_ends_as_with_a_pthread_when_its_thread_returns") {
        return;
    }
    // Far beyond the watchdog's time: a thread that idles is ended by it.
    warm::set_idle_time(Duration::from_secs(3600));
    for (spawn, first) in [
        (rawthread::spawn as fn(_) -> _, false),
        (rawthread::spawn as fn(_) -> _, true),
        (warm::spawn as fn(_) -> _, false),
        (warm::spawn as fn(_) -> _, true),
    ] {
        let mut ends = [0; 2];
        assert_eq!(
            unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) },
            0
        );
        *EXIT_PIPE.lock().unwrap() = ends[1];
        let thread: JoinHandle<i32> =
            spawn(Box::new(move || fork(first)) as Box<dyn FnOnce() -> i32 + Send>);
        let pid = thread.join().unwrap();
        unsafe { libc::close(ends[1]) };
        let mut text = String::new();
        let mut pipe = unsafe { std::fs::File::from_raw_fd(ends[0]) };
        pipe.read_to_string(&mut text).unwrap();
        assert_eq!(status_of(pid), 0, "{text}");
        assert!(
            text.contains("atexit") && text.contains("stdio"),
            "{text:?}, {first}"
        );
    }
}

/// A mark of setuid's that was copied has no answer to wait for. Made by hand here, where glibc is
/// known to keep it.
#[test]
fn a_copied_mark_of_setuid_holds_no_spawn_up() {
    if !in_subprocess("forked_child::a_copied_mark_of_setuid_holds_no_spawn_up") {
        return;
    }
    rawthread::spawn(|| ()).join().unwrap();
    let host = rawthread::host().unwrap();
    if host.libc() != "glibc"
        || host.support() != rawthread::Support::Full
        || !cfg!(target_arch = "x86_64")
    {
        println!("SKIP: {host}");
        return;
    }
    let (mut head, mut len) = (0usize, 0usize);
    let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &mut head, &mut len) };
    assert_eq!(asked, 0);
    let word = (head + 40) as *mut u32;
    for raw in [false, true] {
        unsafe { *word |= 0x40 };
        let pid = match raw {
            #[cfg(target_arch = "x86_64")]
            true => unsafe { libc::syscall(libc::SYS_fork) as i32 },
            _ => unsafe { libc::fork() },
        };
        if pid == 0 {
            watchdog(20);
            // The first makes a TCB, the second is cloned onto it.
            rawthread::spawn(|| ()).join().unwrap();
            let code = rawthread::spawn(|| GOOD).join().unwrap();
            unsafe { libc::_exit(code) };
        }
        unsafe { *word &= !0x40 };
        assert_eq!(status_of(pid), GOOD, "raw: {raw}");
    }
}
