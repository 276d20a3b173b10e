//! What one task of a worker left to the next.

use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rawthread::{Builder, Signal, warm};

use super::common::{expect_crash, in_subprocess, keep, warm_threads_are_kept};
use super::support;

/// A signal sent between a task's last handler and its end waited for the next task.
#[test]
fn a_signal_sent_to_one_task_never_reaches_the_next() {
    static IN_NEXT: AtomicBool = AtomicBool::new(false);
    static HITS: AtomicU32 = AtomicU32::new(0);
    static WRONG: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: i32) {
        HITS.fetch_add(1, Ordering::Relaxed);
        if IN_NEXT.load(Ordering::SeqCst) {
            WRONG.fetch_add(1, Ordering::Relaxed);
        }
    }
    if !in_subprocess("warm::a_signal_sent_to_one_task_never_reaches_the_next")
        || support::by_libc()
    {
        return;
    }
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as usize) };
    let signal = Signal::new(libc::SIGUSR1).unwrap();
    for round in 0..4_000 {
        let task = warm::spawn(|| ());
        // A few, until or beyond the task's end: without a bound the handlers leave the task
        // hardly any time.
        for _ in 0..round % 16 + 1 {
            if task.signal(signal).is_err() {
                break;
            }
        }
        task.join().unwrap();
        IN_NEXT.store(true, Ordering::SeqCst);
        warm::spawn(|| ()).join().unwrap();
        IN_NEXT.store(false, Ordering::SeqCst);
    }
    assert_ne!(HITS.load(Ordering::Relaxed), 0);
    assert_eq!(WRONG.load(Ordering::Relaxed), 0);
}

/// The next task's handlers ran on memory that the one before had freed.
#[test]
fn a_task_has_the_threads_own_signal_stack() {
    if !in_subprocess("warm::a_task_has_the_threads_own_signal_stack") || support::by_libc() {
        return;
    }
    let base = |stack: &libc::stack_t| stack.ss_sp as usize;
    let reused = (0..1000).any(|_| {
        let first = warm::spawn(move || {
            let mut memory = vec![0u8; 1 << 16];
            let stack = libc::stack_t {
                ss_sp: memory.as_mut_ptr().cast(),
                ss_flags: 0,
                ss_size: memory.len(),
            };
            assert_eq!(unsafe { libc::sigaltstack(&stack, ptr::null_mut()) }, 0);
            (unsafe { libc::gettid() }, base(&stack))
        });
        let first = first.join().unwrap();
        let next = warm::spawn(move || {
            let mut stack: libc::stack_t = unsafe { mem::zeroed() };
            unsafe { libc::sigaltstack(ptr::null(), &mut stack) };
            (unsafe { libc::gettid() }, base(&stack))
        });
        let next = next.join().unwrap();
        assert_ne!(first.1, next.1);
        first.0 == next.0
    });
    assert!(
        !warm_threads_are_kept() || reused,
        "no thread served two tasks"
    );
}

/// A result whose drop panics ended the process on a thread of `spawn`'s, as on std's, but only
/// leaked on a warm one.
#[test]
fn a_detached_result_that_panics_when_dropped_ends_the_process() {
    const TEST: &str = "warm::a_detached_result_that_panics_when_dropped_ends_the_process";
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("a result may not panic here");
        }
    }
    let Some(output) = expect_crash(TEST) else {
        let (let_go, wait) = std::sync::mpsc::channel::<()>();
        drop(warm::spawn(move || {
            let _ = wait.recv();
            Loud
        }));
        drop(let_go);
        std::thread::sleep(std::time::Duration::from_secs(10));
        return;
    };
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
}

/// Whether an idle thread happened to be there decided whose directory a task had.
#[test]
fn a_task_has_its_spawners_directory_whether_or_not_a_thread_is_idle() {
    if !in_subprocess("warm::a_task_has_its_spawners_directory_whether_or_not_a_thread_is_idle") {
        return;
    }
    let ask = || std::env::current_dir().unwrap();
    for _ in 0..20 {
        // Leaves an idle thread.
        assert_ne!(warm::spawn(ask).join().unwrap(), Path::new("/proc"));
        let elsewhere = Builder::new().private_cwd().spawn(move || {
            std::env::set_current_dir("/proc").unwrap();
            warm::spawn(ask).join().unwrap()
        });
        assert_eq!(elsewhere.unwrap().join().unwrap(), Path::new("/proc"));
    }
}

/// The kernel tells waiters of a robust mutex that its owner died when the owner does.
#[test]
fn a_robust_mutex_left_locked_is_found_by_its_waiter() {
    if !in_subprocess("warm::a_robust_mutex_left_locked_is_found_by_its_waiter") {
        return;
    }
    let mutex: &'static mut libc::pthread_mutex_t = keep(unsafe { mem::zeroed() });
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        assert_eq!(libc::pthread_mutex_init(mutex, &attributes), 0);
    }
    let address = ptr::from_mut(mutex) as usize;
    // For want of tasks the thread would end, too.
    warm::set_idle_time(std::time::Duration::from_secs(3600));
    let task = warm::spawn(move || unsafe { libc::pthread_mutex_lock(address as *mut _) });
    assert_eq!(task.join().unwrap(), 0);
    // Where the thread is not woken, this never returns, and the process is killed.
    let told = unsafe { libc::pthread_mutex_lock(address as *mut _) };
    assert_eq!(told, libc::EOWNERDEAD);
}

/// As of a robust mutex: the thread that leaked the guard ends with its task, and no other does.
#[test]
fn a_pi_mutex_left_locked_is_found_by_its_waiter() {
    use rawthread::sync::PiMutex;
    static BALANCED: PiMutex<u32> = PiMutex::new(0);

    if !in_subprocess("warm::a_pi_mutex_left_locked_is_found_by_its_waiter") {
        return;
    }
    let errno = |lock: &PiMutex<u32>| lock.lock_checked().err()?.raw_os_error();
    let own = BALANCED.lock();
    if errno(&BALANCED) != Some(libc::EDEADLK) {
        println!("SKIP: no FUTEX_LOCK_PI here");
        return;
    }
    drop(own);
    // For want of tasks the thread would end, too.
    warm::set_idle_time(std::time::Duration::from_secs(3600));
    for unverified in [false, true] {
        for by_try in [false, true] {
            let lock: &'static PiMutex<u32> = keep(PiMutex::new(0));
            let leak = move || {
                drop(BALANCED.lock());
                if by_try {
                    mem::forget(lock.try_lock().unwrap());
                } else {
                    mem::forget(lock.lock());
                }
            };
            let task = if unverified {
                warm::spawn_unverified(leak)
            } else {
                warm::spawn(leak)
            };
            task.join().unwrap();
            // Where the thread stays, this never returns, and the process is killed.
            assert_eq!(errno(lock), Some(libc::EOWNERDEAD));
        }
    }
    let tids: std::collections::HashSet<i32> = (0..200)
        .map(|_| {
            let task = warm::spawn(|| {
                *BALANCED.lock() += 1;
                drop(BALANCED.try_lock());
                unsafe { libc::gettid() }
            });
            task.join().unwrap()
        })
        .collect();
    assert!(!crate::common::warm_threads_are_kept() || tids.len() < 50);
}

/// What libc keeps of a thread: the locale that it uses, and values that the last round of destructors set.
#[test]
fn a_task_leaves_no_locale_and_no_value_of_a_key() {
    if !in_subprocess("warm::a_task_leaves_no_locale_and_no_value_of_a_key") {
        return;
    }
    static KEY: AtomicU32 = AtomicU32::new(0);
    /// Sets the value again in each round, the last one too.
    unsafe extern "C" fn again(value: *mut libc::c_void) {
        unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed), value) };
    }
    let global = usize::MAX as libc::locale_t;
    let mut key = 0;
    assert_eq!(
        unsafe { libc::pthread_key_create(&mut key, Some(again)) },
        0
    );
    KEY.store(key, Ordering::Relaxed);
    // The crate libc has no LC_ALL_MASK on every target.
    let own = unsafe { libc::newlocale(libc::LC_CTYPE_MASK, c"C".as_ptr(), ptr::null_mut()) };
    assert!(!own.is_null());
    let own = own as usize;
    let reused = (0..1000).any(|_| {
        let first = warm::spawn(move || unsafe {
            libc::uselocale(own as libc::locale_t);
            assert_eq!(
                libc::pthread_setspecific(key, ptr::without_provenance(8)),
                0
            );
            libc::gettid()
        });
        let first = first.join().unwrap();
        let next = warm::spawn(move || unsafe {
            let locale = libc::uselocale(ptr::null_mut());
            (
                libc::gettid(),
                locale as usize,
                libc::pthread_getspecific(key) as usize,
            )
        });
        let (next, locale, value) = next.join().unwrap();
        assert_eq!((locale, value), (global as usize, 0));
        first == next
    });
    assert!(
        !warm_threads_are_kept() || reused,
        "no thread served two tasks"
    );
}
