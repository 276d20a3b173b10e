//! What ci/sanitizers.sh runs under each tool: a program that uses all kinds of threads, programs that a
//! tool must not report, and programs that it must.
#![allow(unsafe_code, reason = "does what a tool is to find")]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rawthread::process::Command;
use rawthread::sync::{Condvar, Mutex};
use rawthread::{Builder, JoinSet, park, scope, spawn, warm};

fn main() {
    println!("{}", rawthread::host().unwrap());
    match std::env::args().nth(1).as_deref() {
        None => all(),
        Some("held") => held(),
        Some("leak") => leak(),
        Some("overflow") => overflow(),
        Some("race") => race(),
        Some("uninitialized") => uninitialized(),
        Some(other) => panic!("no program of the name {other}"),
    }
    println!("to the end");
}

/// Nothing here is wrong.
fn all() {
    let words = vec![String::from("one"), String::from("two")];
    for _ in 0..20 {
        let threads: Vec<_> = (0..4)
            .map(|number| spawn(move || vec![number; 100]))
            .collect();
        let numbers: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap().into_iter().sum::<usize>())
            .sum();
        assert_eq!(numbers, 600);
        let named = Builder::new().name("named".into());
        drop(named.spawn(|| black_box(vec![7u8; 64])).unwrap());

        let mut shared = 0;
        scope(|s| {
            let lengths = s.spawn(|| words.iter().map(String::len).sum::<usize>());
            s.spawn(|| shared += 1);
            assert_eq!(lengths.join().unwrap(), 6);
        });
        assert_eq!(shared, 1);

        let mut set = JoinSet::new();
        for number in 0..4 {
            set.spawn(move || Box::new(number));
        }
        let mut sum = 0;
        while let Some(result) = set.join_next() {
            sum += *result.unwrap();
        }
        assert_eq!(sum, 6);

        let tasks: Vec<_> = (0..4).map(|n| warm::spawn(move || vec![n; 10])).collect();
        for task in tasks {
            assert_eq!(task.join().unwrap().len(), 10);
        }

        let panicked = spawn(|| -> u32 { std::panic::resume_unwind(Box::new("on purpose")) });
        assert!(panicked.join().is_err());
    }
    with_locks();
    with_locals();
    for _ in 0..5 {
        let output = Command::new("echo").arg("hello").output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
    }
}

/// A counter and a turn that threads hand on.
fn with_locks() {
    static COUNT: Mutex<u32> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    let threads: Vec<_> = (0..4u32)
        .map(|own| {
            spawn(move || {
                for _ in 0..50 {
                    let mut count = COUNT.lock();
                    while *count % 4 != own {
                        count = CHANGED.wait(count);
                    }
                    *count += 1;
                    CHANGED.notify_all();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*COUNT.lock(), 200);
}

fn with_locals() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counted(#[allow(dead_code, reason = "is freed")] Box<u32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static STD: Counted = Counted(Box::new(1)));
    rawthread::local!(static OWN: Counted = Counted(Box::new(2)));
    for _ in 0..10 {
        let thread = spawn(|| {
            STD.with(|_| ());
            OWN.with(|_| ());
        });
        thread.join().unwrap();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 20);
}

/// The process ends while threads hold memory that nothing else refers to: no leak. Each size of a block
/// says which of them a tool that is wrong reports.
fn held() {
    thread_local!(static STD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    rawthread::local!(static OWN: RefCell<Vec<u8>> = RefCell::new(Vec::new()));
    static HOLDING: AtomicU32 = AtomicU32::new(0);
    fn wait_for_ever() {
        // Frames in which blocks were made are overwritten.
        black_box([0u8; 32768]);
        HOLDING.fetch_add(1, Ordering::SeqCst);
        loop {
            park();
        }
    }
    #[inline(never)]
    fn set_std() {
        STD.with(|local| *local.borrow_mut() = vec![3; 1002]);
    }
    #[inline(never)]
    fn set_own() {
        OWN.with(|local| *local.borrow_mut() = vec![4; 1003]);
    }
    // By a stack.
    drop(spawn(|| {
        let own = Box::new([1u8; 1000]);
        wait_for_ever();
        black_box(&own);
    }));
    // By a closure.
    let given = Box::new([2u8; 1001]);
    drop(spawn(move || {
        wait_for_ever();
        black_box(&given);
    }));
    // By thread-locals.
    drop(spawn(|| {
        set_std();
        wait_for_ever();
    }));
    drop(spawn(|| {
        set_own();
        wait_for_ever();
    }));
    // By a record: the name.
    let long = "n".repeat(1007);
    drop(Builder::new().name(long).spawn(wait_for_ever).unwrap());
    // By a task of `warm`, on a worker that has served others, where workers are kept.
    warm::set_idle_time(Duration::from_secs(3600));
    for _ in 0..10 {
        let task = warm::spawn(|| black_box(vec![5u8; 1004]).len());
        task.join().unwrap();
    }
    let given = Box::new([6u8; 1005]);
    drop(warm::spawn(move || {
        wait_for_ever();
        black_box(&given);
    }));
    // By handles: results of threads and tasks that have ended and were not joined.
    let mut set = JoinSet::new();
    set.spawn(|| Box::new([7u8; 1008]));
    let handles = (
        spawn(|| Box::new([8u8; 1009])),
        warm::spawn(|| Box::new([9u8; 1010])),
    );
    while HOLDING.load(Ordering::SeqCst) != 6
        || !handles.0.is_finished()
        || !handles.1.is_finished()
    {
        rawthread::yield_now();
    }
    black_box([0u8; 32768]);
    println!("to the end");
    // Destroys nothing of this frame, as a return would.
    black_box((&set, &handles));
    std::process::exit(0);
}

/// 4711 bytes that nothing refers to at the end.
fn leak() {
    let leaks = || {
        black_box(Box::into_raw(Box::new([1u8; 4711])));
    };
    spawn(leaks).join().unwrap();
    // What the thread left in its registers and frames is overwritten.
    for _ in 0..4 {
        spawn(|| black_box([0u8; 65536]).len()).join().unwrap();
    }
}

/// Reads one byte behind a block, in a named thread.
fn overflow() {
    let thread = Builder::new().name("clumsy".into()).spawn(|| {
        let block = black_box(vec![1u8; 100]);
        // SAFETY: none; a tool is to say so.
        unsafe { block.as_ptr().add(block.len()).read_volatile() }
    });
    black_box(thread.unwrap().join().unwrap());
}

struct Racy(Cell<u32>);
// SAFETY: none; a tool is to say so.
unsafe impl Sync for Racy {}

/// Two threads write one word without order.
fn race() {
    static RACY: Racy = Racy(Cell::new(0));
    let write = || (0..1000).for_each(|n| black_box(&RACY).0.set(n));
    let threads = [spawn(write), spawn(write)];
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Branches on memory that was never written, in a thread.
fn uninitialized() {
    let thread = spawn(|| {
        let block = black_box(Box::<u32>::new_uninit());
        // SAFETY: none; a tool is to say so.
        if unsafe { block.as_ptr().read_volatile() } == 4711 {
            println!("by chance");
        }
    });
    thread.join().unwrap();
}
