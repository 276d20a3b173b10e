//! Wakers that do what wakers may: run the task at once, spawn, join, panic, use thread-locals, fork.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use rawthread::{Builder, JoinFuture, warm};

use crate::{block_on, counter, poll_once};

/// Polls the future in the very call that wakes it, on the ending thread.
struct Inline {
    future: Mutex<Option<JoinFuture<u32>>>,
    result: AtomicU32,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut place = self.future.lock().unwrap();
        let future = place.as_mut().expect("polled once");
        match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => self.result.store(value.unwrap(), Ordering::SeqCst),
            Poll::Pending => panic!("it was woken"),
        }
        *place = None;
    }
}

#[test]
fn a_task_that_runs_where_it_is_woken_has_the_result_there() {
    for round in 0..500 {
        let body = || {
            rawthread::park();
            9
        };
        let handle = if round % 2 == 0 {
            rawthread::spawn(body)
        } else {
            warm::spawn(body)
        };
        let thread = handle.thread().clone();
        let inline = Arc::new(Inline {
            future: Mutex::new(Some(handle.into_future())),
            result: AtomicU32::new(0),
        });
        let waker = Waker::from(inline.clone());
        {
            let mut place = inline.future.lock().unwrap();
            let future = place.as_mut().unwrap();
            assert!(poll_once(future, &waker).is_pending());
        }
        thread.unpark();
        while inline.result.load(Ordering::SeqCst) != 9 {
            std::thread::yield_now();
        }
        // The slot or worker is whole: the next thread is served.
        assert_eq!(rawthread::spawn(|| 1).join().unwrap(), 1);
        assert_eq!(warm::spawn(|| 1).join().unwrap(), 1);
    }
}

/// Does `work`, then wakes another waker.
struct Then {
    work: fn(),
    next: Waker,
}

impl Wake for Then {
    fn wake(self: Arc<Self>) {
        let next = self.next.clone();
        (self.work)();
        next.wake();
    }
}

/// Awaits a thread and a task by a waker that does `work` first.
fn awaited_by(work: fn()) {
    for _ in 0..20 {
        let handles = [
            rawthread::spawn(rawthread::park),
            warm::spawn(rawthread::park),
        ];
        for handle in handles {
            let thread = handle.thread().clone();
            let mut future = handle.into_future();
            let (count, next) = counter();
            let waker = Waker::from(Arc::new(Then { work, next }));
            assert!(poll_once(&mut future, &waker).is_pending());
            thread.unpark();
            while count.wakes.load(Ordering::SeqCst) == 0 {
                rawthread::park();
            }
            assert!(poll_once(&mut future, &waker).is_ready());
        }
    }
}

#[test]
fn a_waker_may_spawn_and_join() {
    awaited_by(|| {
        assert_eq!(rawthread::spawn(|| 3).join().unwrap(), 3);
        assert_eq!(warm::spawn(|| 4).join().unwrap(), 4);
        assert_eq!(std::thread::spawn(|| 5).join().unwrap(), 5);
        let mut sum = 0;
        rawthread::scope(|s| {
            s.spawn(|| sum = 6);
        });
        assert_eq!(sum, 6);
    });
}

#[test]
fn thread_locals_that_a_waker_makes_are_destroyed() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    static ELSEWHERE: AtomicU32 = AtomicU32::new(0);
    /// The kernel thread that made it.
    struct Counted(i32);
    impl Drop for Counted {
        fn drop(&mut self) {
            if unsafe { libc::gettid() } != self.0 {
                ELSEWHERE.fetch_add(1, Ordering::SeqCst);
            }
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local!(static LOCAL: Counted = {
        MADE.fetch_add(1, Ordering::SeqCst);
        Counted(unsafe { libc::gettid() })
    });
    if crate::support::by_libc() {
        // glibc runs the list of thread-locals' destructors once, and a waker comes later.
        return;
    }
    awaited_by(|| LOCAL.with(|_| ()));
    while DROPPED.load(Ordering::SeqCst) != MADE.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert_eq!(MADE.load(Ordering::SeqCst), 40);
    assert_eq!(ELSEWHERE.load(Ordering::SeqCst), 0, "on a later thread");
}

#[test]
fn a_panic_of_a_waker_ends_no_thread_and_no_process() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("expected by this test");
        }
    }
    for _ in 0..5 {
        let handle = rawthread::spawn(rawthread::park);
        let thread = handle.thread().clone();
        let mut future = handle.into_future();
        let waker = Waker::from(Arc::new(Panics));
        assert!(poll_once(&mut future, &waker).is_pending());
        thread.unpark();
        block_on(future).unwrap();
    }
}

#[test]
fn memory_of_the_callers_own_is_free_after_the_join() {
    let mut memory = vec![0u8; 256 * 1024];
    for _ in 0..50 {
        let builder = Builder::new();
        // SAFETY: nothing else uses the vector before the join.
        let builder = unsafe { builder.stack(memory.as_mut_ptr(), memory.len()) };
        let Ok(handle) = builder.try_spawn(rawthread::park) else {
            println!("SKIP: no stacks of the caller's own here");
            return;
        };
        let thread = handle.thread().clone();
        let mut future = handle.into_future();
        let (_, waker) = counter();
        assert!(poll_once(&mut future, &waker).is_pending());
        thread.unpark();
        future.into_handle().unwrap().join().unwrap();
        memory.fill(7);
    }
}

#[test]
fn a_child_neither_wakes_nor_awaits_what_is_the_parents() {
    // A thread that forks: the child's copy of it must not call the parent's waker.
    static WOKEN_IN: AtomicU32 = AtomicU32::new(0);
    struct Note;
    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            WOKEN_IN.store(std::process::id(), Ordering::SeqCst);
            // In a child this ends up in its status.
            if std::process::id() != PARENT.load(Ordering::SeqCst) {
                unsafe { libc::_exit(77) };
            }
        }
    }
    static PARENT: AtomicU32 = AtomicU32::new(0);
    static GO: AtomicBool = AtomicBool::new(false);
    PARENT.store(std::process::id(), Ordering::SeqCst);
    let handle = rawthread::spawn(|| {
        while !GO.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        unsafe { libc::fork() }
    });
    let mut future = handle.into_future();
    let waker = Waker::from(Arc::new(Note));
    assert!(poll_once(&mut future, &waker).is_pending());
    GO.store(true, Ordering::SeqCst);
    while WOKEN_IN.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let Poll::Ready(child) = poll_once(&mut future, &waker) else {
        panic!("it was woken");
    };
    let mut status = 0;
    unsafe { libc::waitpid(child.unwrap(), &mut status, 0) };
    assert_eq!(status, 0, "the waker was called in the child");

    // A child that polls a future of the parent's thread is told so.
    let handle = rawthread::spawn(rawthread::park);
    let thread = handle.thread().clone();
    let mut future = handle.into_future();
    let (_, waker) = counter();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let poll = std::panic::AssertUnwindSafe(|| poll_once(&mut future, &waker).is_ready());
        let panicked = std::panic::catch_unwind(poll).is_err();
        unsafe { libc::_exit(i32::from(!panicked)) };
    }
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0, "the child's poll panics");
    thread.unpark();
    block_on(future).unwrap();
}
