//! `pthread_self()` of a thread of this crate is a thread to libc, and the kernel knows what libc
//! relies on.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use crate::common::MUSL;
use crate::util::{full, on_raw, told_by_live_threads};

#[test]
fn the_restartable_sequence_is_registered() {
    // Alive together, so that every one has an area of its own.
    let gate = std::sync::Arc::new(std::sync::Barrier::new(200));
    let threads: Vec<_> = (0..200)
        .map(|index| {
            let gate = gate.clone();
            rawthread::spawn(move || {
                gate.wait();
                // SAFETY: plain structures of this thread's.
                unsafe {
                    let mut only: libc::cpu_set_t = std::mem::zeroed();
                    libc::sched_getaffinity(0, size_of_val(&only), &mut only);
                    let allowed: Vec<usize> = (0..1024)
                        .filter(|cpu| libc::CPU_ISSET(*cpu, &only))
                        .collect();
                    let mut right = true;
                    for turn in 0..4 {
                        let cpu = allowed[(index + turn) % allowed.len()];
                        libc::CPU_ZERO(&mut only);
                        libc::CPU_SET(cpu, &mut only);
                        assert_eq!(libc::sched_setaffinity(0, size_of_val(&only), &only), 0);
                        // From the area if it is registered, else by asking the kernel...
                        right &= libc::sched_getcpu() == cpu as i32;
                    }
                    // ... so that the kernel must also say that there is one already.
                    let mut spare = Aligned([0; 32]);
                    let again = libc::syscall(libc::SYS_rseq, &mut spare, 32, 0, 0x5305_3053);
                    let errno = *libc::__errno_location();
                    if again == 0 {
                        // A libc that registers none. The kernel must not write to a frame that has gone.
                        libc::syscall(libc::SYS_rseq, &mut spare, 32, 1, 0x5305_3053);
                    }
                    (right, again, errno)
                }
            })
        })
        .collect();
    #[repr(align(32))]
    struct Aligned(#[allow(dead_code, reason = "the kernel's")] [u8; 32]);
    let rseq = std::thread::spawn(|| {
        let mut spare = Aligned([0; 32]);
        // SAFETY: unregistered again at once if it was registered.
        unsafe {
            let again = libc::syscall(libc::SYS_rseq, &mut spare, 32, 0, 0x5305_3053);
            if again == 0 {
                libc::syscall(libc::SYS_rseq, &mut spare, 32, 1, 0x5305_3053);
            }
            again == -1
        }
    })
    .join()
    .unwrap();
    for thread in threads {
        let (right, again, errno) = thread.join().unwrap();
        assert!(right, "sched_getcpu lies");
        if rseq && cfg!(target_arch = "x86_64") {
            assert_eq!((again, errno), (-1, libc::EINVAL), "no area was registered");
        }
    }
}

fn robust_head(tid: i32) -> (i64, usize, usize) {
    let (mut head, mut len) = (0usize, 0usize);
    // SAFETY: both places are writable.
    let returned = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &mut head, &mut len) };
    (returned, head, len)
}

fn lock_a_robust_mutex() {
    let mut attributes = MaybeUninit::uninit();
    let mut mutex = MaybeUninit::uninit();
    // SAFETY: a mutex of this frame, which is unlocked and destroyed in it.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr());
        assert_eq!(libc::pthread_mutex_lock(mutex.as_mut_ptr()), 0);
        assert_eq!(libc::pthread_mutex_unlock(mutex.as_mut_ptr()), 0);
        libc::pthread_mutex_destroy(mutex.as_mut_ptr());
    }
}

#[test]
fn the_robust_list_is_registered_and_each_threads_own() {
    let heads = told_by_live_threads(8, || {
        if MUSL {
            // musl registers the list when the thread first locks such a mutex of several processes.
            lock_a_robust_mutex();
        }
        let (returned, head, len) = robust_head(0);
        assert_eq!((returned, len), (0, 24));
        // SAFETY: the head is in this thread's control block; empty it points at itself.
        assert_eq!(unsafe { *(head as *const usize) }, head);
        head
    });
    assert_eq!(heads.len(), 8);
    assert!(!heads.contains(&0));
}

#[test]
fn there_is_an_alternate_signal_stack() {
    let stacks = told_by_live_threads(4, || {
        // SAFETY: asks.
        let stack = unsafe {
            let mut stack = MaybeUninit::<libc::stack_t>::uninit();
            assert_eq!(libc::sigaltstack(std::ptr::null(), stack.as_mut_ptr()), 0);
            stack.assume_init()
        };
        assert_eq!(stack.ss_flags, 0);
        assert!(stack.ss_size >= libc::SIGSTKSZ, "{}", stack.ss_size);
        stack.ss_sp as usize
    });
    assert_eq!(stacks.len(), 4);
}

#[test]
fn getattr_tells_the_bounds_of_the_stack() {
    for size in [64 * 1024, 300_000, 8 << 20] {
        let thread = rawthread::Builder::new().stack_size(size).spawn(move || {
            let local = 0u8;
            let here = std::hint::black_box(&raw const local) as usize;
            // SAFETY: the calling thread's own attributes.
            let (base, len) = unsafe {
                let mut attributes = MaybeUninit::uninit();
                let own = libc::pthread_self();
                assert_eq!(libc::pthread_getattr_np(own, attributes.as_mut_ptr()), 0);
                let mut attributes = attributes.assume_init();
                let (mut base, mut len) = (std::ptr::null_mut(), 0);
                libc::pthread_attr_getstack(&attributes, &mut base, &mut len);
                libc::pthread_attr_destroy(&mut attributes);
                (base as usize, len)
            };
            assert!((base..base + len).contains(&here));
            assert!(len >= size, "{len}");
            assert!(
                here - base > size - 8192,
                "{} of {size} are left",
                here - base
            );
            // All of it is there to be used.
            // SAFETY: far below this frame, above the guard, used by no code.
            unsafe { (base as *mut u8).write_volatile(1) };
        });
        thread.unwrap().join().unwrap();
    }
}

#[test]
fn pthread_self_is_distinct_and_equal_to_itself() {
    // SAFETY: asks.
    let all = told_by_live_threads(8, || unsafe { libc::pthread_self() } as usize);
    assert_eq!(all.len(), 8);
}

#[test]
fn names_affinity_and_clocks_work_on_pthread_self() {
    for _ in 0..5 {
        // SAFETY: the calling thread's own handle, plain structures.
        on_raw(|| unsafe {
            let own = libc::pthread_self();
            assert_eq!(libc::pthread_setname_np(own, c"by libc".as_ptr()), 0);
            let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            assert_eq!(comm, "by libc\n");
            let mut name = [0; 16];
            assert_eq!(libc::pthread_getname_np(own, name.as_mut_ptr(), 16), 0);
            assert_eq!(CStr::from_ptr(name.as_ptr()), c"by libc");

            let mut set: libc::cpu_set_t = std::mem::zeroed();
            let len = size_of_val(&set);
            assert_eq!(libc::pthread_getaffinity_np(own, len, &mut set), 0);
            let first = (0..1024).find(|cpu| libc::CPU_ISSET(*cpu, &set)).unwrap();
            libc::CPU_ZERO(&mut set);
            libc::CPU_SET(first, &mut set);
            assert_eq!(libc::pthread_setaffinity_np(own, len, &set), 0);
            let mut seen: libc::cpu_set_t = std::mem::zeroed();
            assert_eq!(libc::sched_getaffinity(libc::gettid(), len, &mut seen), 0);
            assert!(libc::CPU_EQUAL(&set, &seen));

            let mut clock = 0;
            assert_eq!(libc::pthread_getcpuclockid(own, &mut clock), 0);
            let mut time: libc::timespec = std::mem::zeroed();
            assert_eq!(libc::clock_gettime(clock, &mut time), 0);
            // The clock is this thread's, not the process's.
            let mut own_time: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut own_time);
            let nanos = |time: libc::timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
            assert!((0..10_000_000).contains(&(nanos(own_time) - nanos(time))));
        });
    }
}

#[test]
fn scheduling_is_asked_of_the_kernel_not_of_the_last_thread() {
    if !full() {
        return;
    }
    for _ in 0..5 {
        // SAFETY: the calling thread's own handle, plain structures.
        on_raw(|| unsafe {
            let own = libc::pthread_self();
            let (mut policy, mut param) = (-1, std::mem::zeroed::<libc::sched_param>());
            assert_eq!(libc::pthread_getschedparam(own, &mut policy, &mut param), 0);
            assert_eq!((policy, param.sched_priority), (libc::SCHED_OTHER, 0));
            let batch = libc::pthread_setschedparam(own, libc::SCHED_BATCH, &param);
            assert_eq!(
                (batch, libc::syscall(libc::SYS_sched_getscheduler, 0) as i32),
                (0, libc::SCHED_BATCH)
            );
        });
    }
}

#[test]
fn what_a_thread_set_for_itself_is_not_the_next_ones() {
    // SAFETY: the calling thread's own attributes.
    on_raw(|| unsafe {
        libc::pthread_setname_np(libc::pthread_self(), c"first".as_ptr());
        let param = std::mem::zeroed();
        libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_BATCH, &param);
        libc::pthread_setcancelstate(1, std::ptr::null_mut());
        libc::pthread_setcanceltype(1, std::ptr::null_mut());
    });
    // SAFETY: as above.
    on_raw(|| unsafe {
        assert_ne!(
            std::fs::read_to_string("/proc/thread-self/comm").unwrap(),
            "first\n"
        );
        assert_eq!(
            libc::syscall(libc::SYS_sched_getscheduler, 0) as i32,
            libc::SCHED_OTHER
        );
        let (mut state, mut kind) = (-1, -1);
        libc::pthread_setcancelstate(0, &mut state);
        libc::pthread_setcanceltype(0, &mut kind);
        assert_eq!((state, kind), (0, 0));
    });
}

mod libc {
    pub(super) use ::libc::*;
    unsafe extern "C" {
        pub(super) fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
        pub(super) fn pthread_setcanceltype(kind: i32, old: *mut i32) -> i32;
    }
}

#[test]
fn pthread_kill_reaches_a_raw_thread() {
    use std::sync::atomic::{AtomicI32, Ordering};
    static HANDLED_BY: AtomicI32 = AtomicI32::new(0);
    if !full() {
        return;
    }
    extern "C" fn handler(_: i32) {
        // SAFETY: asks.
        HANDLED_BY.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    }
    // SAFETY: SIGUSR2 is this test's; the handler only stores a number.
    unsafe { libc::signal(libc::SIGUSR2, handler as *const () as usize) };
    for _ in 0..10 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let target = rawthread::spawn(move || {
            // SAFETY: asks.
            sender
                .send(unsafe { libc::pthread_self() } as usize)
                .unwrap();
            rawthread::park();
        });
        let handle = receiver.recv().unwrap() as libc::pthread_t;
        // SAFETY: the thread is parked, so alive.
        assert_eq!(unsafe { libc::pthread_kill(handle, libc::SIGUSR2) }, 0);
        crate::common::poll_until("the handler runs there", || {
            HANDLED_BY.load(Ordering::Relaxed) == target.tid()
        });
        target.thread().unpark();
        target.join().unwrap();
    }
}

#[test]
fn pthreads_are_made_and_joined_inside_raw_threads() {
    extern "C" fn double(argument: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(argument.addr() * 2)
    }
    for number in 1..50 {
        let seen = on_raw(move || {
            // SAFETY: default attributes; joined once.
            let by_pthread = unsafe {
                let mut handle = MaybeUninit::uninit();
                let argument = std::ptr::without_provenance_mut(number);
                let made =
                    libc::pthread_create(handle.as_mut_ptr(), std::ptr::null(), double, argument);
                assert_eq!(made, 0);
                let mut result = std::ptr::null_mut();
                assert_eq!(libc::pthread_join(handle.assume_init(), &mut result), 0);
                result.addr()
            };
            let by_std = std::thread::spawn(move || number * 2).join().unwrap();
            let by_raw = rawthread::spawn(move || number * 2).join().unwrap();
            let by_scope = std::thread::scope(|scope| scope.spawn(|| number * 2).join().unwrap());
            [by_pthread, by_std, by_raw, by_scope]
        });
        assert_eq!(seen, [number * 2; 4]);
    }
}
