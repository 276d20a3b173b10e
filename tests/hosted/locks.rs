//! libc's locks between threads of this crate and pthreads: their owners are known by tid and robust
//! list.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{MUSL, poll_until};
use crate::util::{Shared, on_raw};

type Mutex = Shared<libc::pthread_mutex_t>;

const PRIO_INHERIT: i32 = 1;

unsafe extern "C" {
    fn pthread_mutexattr_setprotocol(attr: *mut libc::pthread_mutexattr_t, protocol: i32) -> i32;
}

fn mutex(kind: i32, robust: i32, protocol: i32) -> Mutex {
    // SAFETY: initialised before use, never freed.
    unsafe {
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        let mut attributes = attributes.assume_init();
        assert_eq!(libc::pthread_mutexattr_settype(&mut attributes, kind), 0);
        assert_eq!(
            libc::pthread_mutexattr_setrobust(&mut attributes, robust),
            0
        );
        assert_eq!(pthread_mutexattr_setprotocol(&mut attributes, protocol), 0);
        let mutex = Shared::new(std::mem::zeroed());
        assert_eq!(libc::pthread_mutex_init(mutex.get(), &attributes), 0);
        mutex
    }
}

fn lock(mutex: Mutex) -> i32 {
    // SAFETY: `mutex` made it.
    unsafe { libc::pthread_mutex_lock(mutex.get()) }
}

fn try_lock(mutex: Mutex) -> i32 {
    // SAFETY: as above.
    unsafe { libc::pthread_mutex_trylock(mutex.get()) }
}

fn unlock(mutex: Mutex) -> i32 {
    // SAFETY: as above; a wrong owner gets an error or is a failure of the test.
    unsafe { libc::pthread_mutex_unlock(mutex.get()) }
}

/// Whatever the kind: threads of both makings exclude each other.
fn excludes(mutex: Mutex) {
    let count = Shared::new(0u64);
    let work = move || {
        for _ in 0..5_000 {
            assert_eq!(lock(mutex), 0);
            // SAFETY: under the mutex.
            unsafe { *count.get() += 1 };
            assert_eq!(unlock(mutex), 0);
        }
    };
    let raw: Vec<_> = (0..3).map(|_| rawthread::spawn(work)).collect();
    let std = std::thread::spawn(work);
    raw.into_iter().for_each(|thread| thread.join().unwrap());
    std.join().unwrap();
    // SAFETY: all joined.
    assert_eq!(unsafe { *count.get() }, 20_000);
}

#[test]
fn all_kinds_exclude() {
    for robust in [libc::PTHREAD_MUTEX_STALLED, libc::PTHREAD_MUTEX_ROBUST] {
        for protocol in [0, PRIO_INHERIT] {
            for kind in [
                libc::PTHREAD_MUTEX_NORMAL,
                libc::PTHREAD_MUTEX_RECURSIVE,
                libc::PTHREAD_MUTEX_ERRORCHECK,
            ] {
                excludes(mutex(kind, robust, protocol));
            }
        }
    }
}

#[test]
fn recursive_and_checking_mutexes_know_their_owner() {
    let recursive = mutex(libc::PTHREAD_MUTEX_RECURSIVE, 0, 0);
    let checking = mutex(libc::PTHREAD_MUTEX_ERRORCHECK, 0, 0);
    // A TCB that many threads run on must not make one the owner of what another locked.
    for _ in 0..20 {
        on_raw(move || {
            assert_eq!(
                (lock(recursive), lock(recursive), lock(checking)),
                (0, 0, 0)
            );
            assert_eq!(lock(checking), libc::EDEADLK);
            on_raw(move || {
                assert_eq!(try_lock(recursive), libc::EBUSY);
                assert_eq!(unlock(checking), libc::EPERM);
            });
            assert_eq!(
                (unlock(recursive), unlock(recursive), unlock(checking)),
                (0, 0, 0)
            );
        });
    }
}

#[test]
fn a_robust_mutex_tells_that_its_owner_died() {
    for protocol in [0, PRIO_INHERIT] {
        for _ in 0..50 {
            let left = [0; 3].map(|_| mutex(0, libc::PTHREAD_MUTEX_ROBUST, protocol));
            on_raw(move || {
                left.into_iter()
                    .for_each(|mutex| assert_eq!(lock(mutex), 0))
            });
            for mutex in left {
                on_raw(move || {
                    assert_eq!(lock(mutex), libc::EOWNERDEAD);
                    // SAFETY: held.
                    assert_eq!(unsafe { libc::pthread_mutex_consistent(mutex.get()) }, 0);
                    assert_eq!(unlock(mutex), 0);
                });
                assert_eq!((lock(mutex), unlock(mutex)), (0, 0));
            }
        }
    }
}

#[test]
fn a_waiter_is_woken_when_the_owner_of_a_robust_mutex_dies() {
    for protocol in [0, PRIO_INHERIT] {
        let mutex = mutex(0, libc::PTHREAD_MUTEX_ROBUST, protocol);
        let (locked, is_locked) = std::sync::mpsc::channel();
        let owner = rawthread::spawn(move || {
            assert_eq!(lock(mutex), 0);
            locked.send(()).unwrap();
            rawthread::park();
        });
        is_locked.recv().unwrap();
        let waiter = rawthread::spawn(move || lock(mutex));
        poll_until("the waiter sleeps", || sleeps(waiter.tid()));
        owner.thread().unpark();
        owner.join().unwrap();
        assert_eq!(waiter.join().unwrap(), libc::EOWNERDEAD);
    }
}

fn sleeps(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('S')
}

#[test]
fn a_robust_list_is_not_inherited() {
    // The first dies with mutexes whose memory then goes away; a list left in the identity would
    // lead the next thread's lock, or the kernel at its end, into that memory.
    for _ in 0..50 {
        let page = on_raw(|| {
            // SAFETY: a page of this test's.
            let page = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            let own = Shared(page.cast::<libc::pthread_mutex_t>());
            let made = mutex(0, libc::PTHREAD_MUTEX_ROBUST, 0);
            // SAFETY: no thread has locked the original; the copy is a mutex as good.
            unsafe { own.get().copy_from_nonoverlapping(made.get(), 1) };
            assert_eq!(lock(own), 0);
            page as usize
        });
        // SAFETY: its only user is gone.
        assert_eq!(unsafe { libc::munmap(page as *mut _, 4096) }, 0);
        let next = mutex(0, libc::PTHREAD_MUTEX_ROBUST, 0);
        on_raw(move || assert_eq!((lock(next), unlock(next), lock(next)), (0, 0, 0)));
        assert_eq!(lock(next), libc::EOWNERDEAD);
    }
}

#[test]
fn condition_variables_wake_both_makings() {
    let mutex = mutex(0, 0, 0);
    // SAFETY: zero is PTHREAD_COND_INITIALIZER.
    let condition = Shared::new(unsafe { std::mem::zeroed::<libc::pthread_cond_t>() });
    let turn = Shared::new(0u32);
    let play = move |own: u32| {
        for _ in 0..500 {
            assert_eq!(lock(mutex), 0);
            // SAFETY: `turn` under the mutex, the condition with its mutex.
            unsafe {
                while *turn.get() % 2 != own {
                    libc::pthread_cond_wait(condition.get(), mutex.get());
                }
                *turn.get() += 1;
                libc::pthread_cond_broadcast(condition.get());
            }
            assert_eq!(unlock(mutex), 0);
        }
    };
    let raw = rawthread::spawn(move || play(0));
    let std = std::thread::spawn(move || play(1));
    raw.join().unwrap();
    std.join().unwrap();
    // SAFETY: all joined.
    assert_eq!(unsafe { *turn.get() }, 1000);
}

#[test]
fn barriers_let_all_through_and_pick_one() {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    // SAFETY: initialised before use, never freed.
    let barrier = unsafe {
        let barrier = Shared::new(std::mem::zeroed::<libc::pthread_barrier_t>());
        assert_eq!(
            libc::pthread_barrier_init(barrier.get(), std::ptr::null(), 4),
            0
        );
        barrier
    };
    let wait = move || {
        for _ in 0..200 {
            // SAFETY: as above.
            match unsafe { libc::pthread_barrier_wait(barrier.get()) } {
                libc::PTHREAD_BARRIER_SERIAL_THREAD => SERIAL.fetch_add(1, Ordering::Relaxed),
                returned => returned as u32,
            };
        }
    };
    let raw: Vec<_> = (0..3).map(|_| rawthread::spawn(wait)).collect();
    let std = std::thread::spawn(wait);
    raw.into_iter().for_each(|thread| thread.join().unwrap());
    std.join().unwrap();
    assert_eq!(SERIAL.load(Ordering::Relaxed), 200);
}

#[test]
fn read_write_locks_know_their_writer() {
    // SAFETY: zero is PTHREAD_RWLOCK_INITIALIZER.
    let lock = Shared::new(unsafe { std::mem::zeroed::<libc::pthread_rwlock_t>() });
    // SAFETY: made above; each is unlocked by the thread that locked it.
    on_raw(move || unsafe {
        assert_eq!(libc::pthread_rwlock_wrlock(lock.get()), 0);
        if MUSL {
            // musl's does not know it: rdlock would wait for ever.
            assert_eq!(libc::pthread_rwlock_tryrdlock(lock.get()), libc::EBUSY);
        } else {
            assert_eq!(libc::pthread_rwlock_rdlock(lock.get()), libc::EDEADLK);
        }
        on_raw(move || assert_eq!(libc::pthread_rwlock_tryrdlock(lock.get()), libc::EBUSY));
        assert_eq!(libc::pthread_rwlock_unlock(lock.get()), 0);
        assert_eq!(libc::pthread_rwlock_rdlock(lock.get()), 0);
        on_raw(move || {
            assert_eq!(libc::pthread_rwlock_rdlock(lock.get()), 0);
            assert_eq!(libc::pthread_rwlock_trywrlock(lock.get()), libc::EBUSY);
            assert_eq!(libc::pthread_rwlock_unlock(lock.get()), 0);
        });
        assert_eq!(libc::pthread_rwlock_unlock(lock.get()), 0);
    });
}

#[test]
fn semaphores_hand_over_between_both_makings() {
    // SAFETY: initialised before use, never freed.
    let (ping, pong) = unsafe {
        let ping = Shared::new(std::mem::zeroed::<libc::sem_t>());
        let pong = Shared::new(std::mem::zeroed::<libc::sem_t>());
        assert_eq!(
            (
                libc::sem_init(ping.get(), 0, 0),
                libc::sem_init(pong.get(), 0, 0)
            ),
            (0, 0)
        );
        (ping, pong)
    };
    // SAFETY: made above.
    let raw = rawthread::spawn(move || unsafe {
        for _ in 0..1000 {
            assert_eq!(libc::sem_wait(ping.get()), 0);
            assert_eq!(libc::sem_post(pong.get()), 0);
        }
    });
    // SAFETY: made above.
    std::thread::spawn(move || unsafe {
        for _ in 0..1000 {
            assert_eq!(libc::sem_post(ping.get()), 0);
            assert_eq!(libc::sem_wait(pong.get()), 0);
        }
    })
    .join()
    .unwrap();
    raw.join().unwrap();
}

#[test]
fn once_runs_once() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static mut ONCE: libc::pthread_once_t = 0;
    unsafe extern "C" {
        fn pthread_once(once: *mut libc::pthread_once_t, run: extern "C" fn()) -> i32;
    }
    extern "C" fn run() {
        rawthread::sleep(std::time::Duration::from_millis(2));
        RUNS.fetch_add(1, Ordering::Relaxed);
    }
    let threads: Vec<_> = (0..8)
        .map(|_| {
            rawthread::spawn(|| {
                // SAFETY: the word is libc's to synchronise.
                assert_eq!(unsafe { pthread_once(&raw mut ONCE, run) }, 0);
                RUNS.load(Ordering::Relaxed)
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1);
    }
}
