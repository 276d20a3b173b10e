//! Sets that are polled.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rawthread::JoinSet;

use crate::{block_on, counter};

#[test]
fn a_polled_set_returns_every_thread_once() {
    for round in 0..50 {
        let mut set = JoinSet::new();
        for n in 0..20 {
            set.spawn(move || n);
        }
        if round % 2 == 0 {
            // Some have ended before the first poll.
            std::thread::yield_now();
        }
        let mut seen = BTreeSet::new();
        let mut more = 20;
        block_on(async {
            while let Some(n) = poll_fn(|context| set.poll_join_next(context)).await {
                assert!(seen.insert(n.unwrap()));
                if more < 40 {
                    set.spawn(move || more);
                    more += 1;
                }
            }
        });
        assert_eq!(seen, (0..40).collect());
        assert!(set.is_empty());
    }
}

#[test]
fn a_set_wakes_its_last_waker_and_may_be_joined_otherwise() {
    let mut set = JoinSet::new();
    let parked = set.spawn(rawthread::park);
    let (first, waker) = counter();
    let poll = |set: &mut JoinSet<()>, waker: &std::task::Waker| {
        set.poll_join_next(&mut Context::from_waker(waker))
    };
    assert!(poll(&mut set, &waker).is_pending());
    let (second, other) = counter();
    assert!(poll(&mut set, &other).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&first), 1, "replaced");
    parked.unpark();
    while second.wakes.load(Ordering::SeqCst) == 0 {
        rawthread::park();
    }
    assert!(matches!(poll(&mut set, &other), Poll::Ready(Some(Ok(())))));
    assert!(matches!(poll(&mut set, &other), Poll::Ready(None)));
    assert_eq!(first.wakes.load(Ordering::SeqCst), 0);
    // The other ways of joining still work.
    for _ in 0..200 {
        set.spawn(|| ());
    }
    for _ in 0..200 {
        assert!(set.join_next().unwrap().is_ok());
    }
    assert!(set.join_next().is_none());
}

#[test]
fn a_dropped_set_frees_its_waker() {
    for _ in 0..200 {
        let mut set = JoinSet::new();
        let parked = set.spawn(rawthread::park);
        let (count, waker) = counter();
        assert!(
            set.poll_join_next(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(waker);
        parked.unpark();
        drop(set);
        while Arc::strong_count(&count) != 1 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_set_under_tokio_is_cancelled_without_loss() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        let slow = set.spawn(|| {
            rawthread::park();
            1
        });
        let next = poll_fn(|context| set.poll_join_next(context));
        assert!(
            tokio::time::timeout(Duration::from_millis(2), next)
                .await
                .is_err()
        );
        slow.unpark();
        let mut sum = 0;
        for n in 0..100 {
            set.spawn(move || n);
        }
        while let Some(n) = poll_fn(|context| set.poll_join_next(context)).await {
            sum += n.unwrap();
        }
        assert_eq!(sum, 4951);
    });
}

#[test]
fn a_panic_in_a_set_is_returned() {
    let mut set = JoinSet::new();
    set.spawn(|| panic!("expected by this test"));
    let ended = block_on(poll_fn(|context| set.poll_join_next(context)));
    assert!(ended.unwrap().is_err());
}

/// By `futures::stream::poll_fn`, with what futures has for streams, under its executor and tokio's.
#[test]
fn a_set_is_a_stream_by_poll_fn() {
    let mut set = JoinSet::new();
    for n in 0..200 {
        set.spawn(move || n);
    }
    // Dropped half-way: what it had not returned is still in the set.
    let first = stream::poll_fn(|context| set.poll_join_next(context))
        .take(100)
        .map(Result::unwrap)
        .collect::<Vec<i32>>();
    let mut seen = futures_executor::block_on(first);
    assert_eq!((seen.len(), set.len()), (100, 100));
    let rest = stream::poll_fn(|context| set.poll_join_next(context))
        .then(|n| async move { n.unwrap() })
        .collect::<Vec<i32>>();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    seen.extend(runtime.unwrap().block_on(rest));
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..200));
    assert!(set.is_empty());
}

/// While the set is polled as a stream another thread's end is awaited, too; whichever comes.
#[test]
fn a_stream_of_ends_is_selected_with_other_futures() {
    use std::future::IntoFuture;
    let mut set = JoinSet::new();
    let parked = set.spawn(rawthread::park);
    let other = rawthread::spawn(move || parked.unpark());
    let ends = futures_util::future::join(
        stream::poll_fn(|context| set.poll_join_next(context)).count(),
        other.into_future(),
    );
    let (count, other) = futures_executor::block_on(ends);
    assert_eq!(count, 1);
    other.unwrap();
}
