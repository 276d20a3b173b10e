//! `process::Builder` with `VM`: the child has `errno`, thread-locals and an allocator of its own,
//! though it has its caller's memory.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rawthread::flags::CloneFlags;
use rawthread::process::Builder;

use crate::common;
use crate::util;

const SHAPES: [CloneFlags; 3] = [
    CloneFlags::VM,
    CloneFlags::VM.union(CloneFlags::VFORK),
    CloneFlags::VM
        .union(CloneFlags::FILES)
        .union(CloneFlags::FS)
        .union(CloneFlags::SIGHAND),
];

#[test]
fn errno_and_thread_locals_are_the_childs_own() {
    thread_local!(static LOCAL: Cell<u32> = const { Cell::new(5) });
    for shape in SHAPES {
        LOCAL.set(77);
        // SAFETY: errno is this thread's.
        let errno_here = unsafe {
            *libc::__errno_location() = 123;
            libc::__errno_location() as usize
        };
        // SAFETY: the child fails a call on purpose and uses its own thread-locals.
        let mut child = unsafe {
            Builder::new().flags(shape).spawn(move || {
                let fresh = LOCAL.get() == 5;
                LOCAL.set(6);
                libc::close(-1);
                let own = libc::__errno_location();
                i32::from(fresh && *own == libc::EBADF && own as usize != errno_here)
            })
        }
        .unwrap_or_else(|error| panic!("{shape:?}: {error}"));
        assert_eq!(child.wait().unwrap().code(), Some(1), "{shape:?}");
        assert_eq!(LOCAL.get(), 77, "{shape:?}");
        // SAFETY: as above.
        assert_eq!(unsafe { *libc::__errno_location() }, 123, "{shape:?}");
    }
}

#[test]
fn the_child_allocates_locks_and_hands_over() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    for shape in SHAPES {
        for round in 0..20 {
            // SAFETY: a lock and an allocator that both share; the child returns.
            let mut child = unsafe {
                Builder::new().flags(shape).spawn(move || {
                    let mut said = SAID.lock().unwrap();
                    said.push(format!("{round} from {}", libc::getpid()));
                    0
                })
            }
            .unwrap();
            assert!(child.wait().unwrap().success());
            let last = SAID.lock().unwrap().pop();
            assert_eq!(last, Some(format!("{round} from {}", child.pid())));
        }
    }
}

#[test]
fn destructors_of_thread_locals_run_and_the_next_child_starts_fresh() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Noted(u32);
    impl Drop for Noted {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0, Ordering::SeqCst);
        }
    }
    thread_local!(static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) });
    for round in 1..=10 {
        // SAFETY: thread-locals of its own.
        let mut child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(|| {
                NOTED.with_borrow_mut(|noted| {
                    noted.push(Noted(1));
                    noted.len() as i32
                })
            })
        }
        .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(DROPPED.load(Ordering::SeqCst), round);
    }
}

#[test]
fn a_panic_in_shared_memory_is_exit_status_101_and_harms_no_other() {
    if !common::in_subprocess(
        "identity::a_panic_in_shared_memory_is_exit_status_101_and_harms_no_other",
    ) {
        return;
    }
    for shape in SHAPES {
        // SAFETY: panics on a TCB of its own.
        let mut child =
            unsafe { Builder::new().flags(shape).spawn(|| panic!("on purpose")) }.unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(101));
        assert!(!std::thread::panicking());
    }
    // This process can still panic and be caught.
    assert!(std::panic::catch_unwind(|| panic!("on purpose too")).is_err());
}

#[test]
fn a_slot_is_used_again() {
    if !common::in_subprocess("identity::a_slot_is_used_again") {
        return;
    }
    static FRAME: AtomicUsize = AtomicUsize::new(0);
    let mut seen = std::collections::BTreeSet::new();
    let maps = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let mut first = 0;
    for round in 0..50 {
        // SAFETY: the child stores a number.
        let mut child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(|| {
                let local = 0u8;
                FRAME.store(&raw const local as usize, Ordering::SeqCst);
                0
            })
        }
        .unwrap();
        child.wait().unwrap();
        seen.insert(FRAME.load(Ordering::SeqCst) >> 16);
        if round == 5 {
            first = maps();
        }
    }
    assert!(
        seen.len() <= 4,
        "{} stacks for 50 children in turn",
        seen.len()
    );
    assert_eq!(maps(), first);
    // And after a call that failed.
    for _ in 0..20 {
        // SAFETY: no child is made.
        let refused = unsafe {
            Builder::new()
                .flags(CloneFlags::VM | CloneFlags::NEWNS | CloneFlags::FS)
                .spawn(|| 0)
        };
        assert!(refused.is_err());
    }
    assert_eq!(maps(), first);
}

#[test]
fn a_killed_child_takes_its_slot_with_it() {
    if !common::in_subprocess("identity::a_killed_child_takes_its_slot_with_it") {
        return;
    }
    for _ in 0..5 {
        // SAFETY: the child waits to be killed.
        let mut child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(|| {
                loop {
                    libc::pause();
                }
            })
        }
        .unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
    // Threads and children are made as before.
    // SAFETY: the child only exits.
    let mut child = unsafe { Builder::new().flags(CloneFlags::VM).spawn(|| 8) }.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(8));
    assert_eq!(rawthread::spawn(|| 9).join().unwrap(), 9);
}

#[test]
fn a_dropped_child_returns_its_slot_through_the_reaper() {
    // SAFETY: the child sleeps a little by a system call.
    let child = unsafe {
        Builder::new().flags(CloneFlags::VM).spawn(|| {
            libc::usleep(20_000);
            0
        })
    }
    .unwrap();
    let pid = child.pid();
    drop(child);
    common::poll_until("the reaper reaps", || util::state_of(pid).is_none());
}
