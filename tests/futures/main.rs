//! A thread's end as a future, and a set's as a stream: under a hand-made executor, futures' and tokio's.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "forks")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

mod set;
#[path = "../common/support.rs"]
mod support;
mod wakers;

use std::cell::Cell;
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rawthread::{JoinFuture, JoinHandle, warm};

/// Counts its wakes, and unparks the thread that made it.
pub(crate) struct Count {
    pub(crate) wakes: AtomicU32,
    thread: rawthread::Thread,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub(crate) fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count {
        wakes: AtomicU32::new(0),
        thread: rawthread::current(),
    });
    (count.clone(), count.into())
}

/// The smallest executor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let (_, waker) = counter();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => rawthread::park(),
        }
    }
}

pub(crate) fn poll_once<T>(
    future: &mut JoinFuture<T>,
    waker: &Waker,
) -> Poll<rawthread::Result<T>> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_thread_is_awaited_with_its_value_or_its_panic() {
    for n in 0..2000 {
        let thread = rawthread::spawn(move || n * 2);
        assert_eq!(block_on(async { thread.await }).unwrap(), n * 2);
    }
    let thread = rawthread::spawn(|| -> i32 { panic!("expected by this test") });
    let payload = block_on(thread.into_future()).unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"expected by this test")
    );
}

#[test]
fn scoped_threads_and_tasks_are_awaited_too() {
    let text = String::from("borrowed");
    rawthread::scope(|s| {
        let len = s.spawn(|| text.len());
        assert_eq!(block_on(len.into_future()).unwrap(), 8);
        // The panic was handled: the scope does not panic for it.
        let panics = s.spawn(|| panic!("expected by this test"));
        assert!(block_on(panics.into_future()).is_err());
    });
    for n in 0..2000 {
        assert_eq!(block_on(warm::spawn(move || n).into_future()).unwrap(), n);
    }
}

#[test]
fn the_destructors_of_thread_locals_have_run() {
    struct Slow(Arc<AtomicU32>);
    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(2));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local!(static SLOW: Cell<Option<Slow>> = const { Cell::new(None) });
    let dropped = Arc::new(AtomicU32::new(0));
    for n in 1..=20 {
        let own = dropped.clone();
        let body = move || SLOW.set(Some(Slow(own)));
        let thread: JoinHandle<()> = if n % 2 == 0 {
            rawthread::spawn(body)
        } else {
            warm::spawn(body)
        };
        block_on(thread.into_future()).unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), n);
    }
}

#[test]
fn a_cancelled_wait_loses_nothing() {
    let thread = rawthread::spawn(|| {
        rawthread::park();
        7
    });
    let mut future = thread.into_future();
    let (count, waker) = counter();
    assert!(poll_once(&mut future, &waker).is_pending());
    drop(waker);
    let handle = future.into_handle().expect("the result was not taken");
    // The thread does not keep what it no longer wakes.
    assert_eq!(Arc::strong_count(&count), 1);
    handle.thread().unpark();
    assert_eq!(handle.join().unwrap(), 7);
    assert_eq!(count.wakes.load(Ordering::SeqCst), 0);
    let thread = rawthread::spawn(|| 8);
    let mut future = thread.into_future();
    assert_eq!(block_on(&mut future).unwrap(), 8);
    assert!(future.handle().is_none());
    assert!(future.into_handle().is_none());
}

#[test]
fn a_dropped_future_detaches_and_frees_its_waker() {
    for _ in 0..500 {
        let ran = Arc::new(AtomicU32::new(0));
        let own = ran.clone();
        let thread = rawthread::spawn(move || {
            rawthread::park();
            own.fetch_add(1, Ordering::SeqCst)
        });
        let parked = thread.thread().clone();
        let mut future = thread.into_future();
        let (count, waker) = counter();
        assert!(poll_once(&mut future, &waker).is_pending());
        drop(waker);
        // The drop races with the thread's end.
        parked.unpark();
        drop(future);
        while ran.load(Ordering::SeqCst) == 0 || Arc::strong_count(&count) != 1 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_last_waker_is_woken_wherever_the_future_was_polled() {
    for round in 0..500 {
        let thread = rawthread::spawn(rawthread::park);
        let parked = thread.thread().clone();
        let mut future = thread.into_future();
        let (first, waker) = counter();
        assert!(poll_once(&mut future, &waker).is_pending());
        assert!(poll_once(&mut future, &waker).is_pending());
        assert_eq!(first.wakes.load(Ordering::SeqCst), 0);
        drop(waker);
        let mut future = rawthread::spawn(move || {
            let (_, waker) = counter();
            if round % 2 == 0 {
                parked.unpark();
            }
            // May find the result.
            let answer = poll_once(&mut future, &waker);
            parked.unpark();
            (answer.is_pending()).then_some(future)
        })
        .join()
        .unwrap();
        let Some(future) = &mut future else { continue };
        block_on(future).unwrap();
    }
}

#[test]
fn a_future_that_is_polled_again_panics() {
    let mut future = rawthread::spawn(|| ()).into_future();
    block_on(&mut future).unwrap();
    let (_, waker) = counter();
    let again = std::panic::AssertUnwindSafe(|| drop(poll_once(&mut future, &waker)));
    assert!(std::panic::catch_unwind(again).is_err());
}

#[test]
fn futures_executor_awaits_threads() {
    let sum = futures_executor::block_on(async {
        let threads: Vec<_> = (0..100).map(|n| rawthread::spawn(move || n)).collect();
        let mut sum = 0;
        for thread in threads {
            sum += thread.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 4950);
}

#[test]
fn tokio_awaits_threads_and_times_out_without_loss() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let slow = rawthread::spawn(|| {
            rawthread::park();
            5
        });
        let mut slow = slow.into_future();
        let early = tokio::time::timeout(Duration::from_millis(2), &mut slow).await;
        assert!(early.is_err());
        slow.handle().unwrap().thread().unpark();
        assert_eq!(slow.await.unwrap(), 5);
        let tasks: Vec<_> = (0..200)
            .map(|n| tokio::spawn(async move { warm::spawn(move || n).await.unwrap() }))
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!(sum, 19900);
    });
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
