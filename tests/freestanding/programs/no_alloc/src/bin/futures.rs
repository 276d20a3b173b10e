//! Threads, tasks and sets are awaited without an allocator; one of them panics.
#![no_std]
#![no_main]

use core::future::{IntoFuture, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use rawthread::start::print;
use rawthread::sync::Mutex;
use rawthread::{JoinSet, Thread, warm};

rawthread::entry!(main);

static MAIN: Mutex<Option<Thread>> = Mutex::new(None);
/// Wakers that exist.
static WAKERS: AtomicU32 = AtomicU32::new(0);

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |_| {
        WAKERS.fetch_add(1, Ordering::SeqCst);
        RawWaker::new(core::ptr::null(), &VTABLE)
    },
    |_| {
        unpark();
        WAKERS.fetch_sub(1, Ordering::SeqCst);
    },
    |_| unpark(),
    |_| {
        WAKERS.fetch_sub(1, Ordering::SeqCst);
    },
);

/// Unparks the main thread, and uses the waking thread's own locals.
fn unpark() {
    rawthread::local!(static WAKES: core::cell::Cell<u32> = core::cell::Cell::new(0));
    WAKES.set(WAKES.get() + 1);
    if let Some(thread) = &*MAIN.lock() {
        thread.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    WAKERS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the functions take any data.
    let waker = unsafe { Waker::new(core::ptr::null(), &VTABLE) };
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => rawthread::park(),
        }
    }
}

fn main() -> i32 {
    *MAIN.lock() = Some(rawthread::current());
    for n in 0..500u32 {
        assert_eq!(
            block_on(rawthread::spawn(move || n).into_future()).unwrap(),
            n
        );
        assert_eq!(block_on(warm::spawn(move || n).into_future()).unwrap(), n);
    }
    let number = 7;
    rawthread::scope(|s| {
        let thread = s.spawn(|| number + 1);
        assert_eq!(block_on(thread.into_future()).unwrap(), 8);
    });
    // Nothing unwinds: the thread ends in the middle of its closure, and the task is woken.
    let panics = rawthread::spawn(|| {
        rawthread::park();
        panic!("expected")
    });
    panics.thread().unpark();
    assert!(block_on(panics.into_future()).is_err());
    let mut set = JoinSet::new();
    for n in 0..50u32 {
        set.spawn(move || n);
    }
    let mut sum = 0;
    block_on(async {
        while let Some(n) = poll_fn(|context| set.poll_join_next(context)).await {
            sum += n.unwrap();
        }
    });
    // Threads that have woken may still be dropping their wakers.
    while WAKERS.load(Ordering::SeqCst) != 0 {
        rawthread::yield_now();
    }
    print(format_args!("{sum}\n"));
    0
}
