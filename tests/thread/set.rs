//! `JoinSet`: joined in the order of ending, one sleep for any of many.

use rawthread::{Builder, JoinSet};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

#[allow(unsafe_code, reason = "a C function")]
fn own_tid() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() }
}

/// Returns when the thread has left the kernel, so long after it has entered its set's queue.
fn wait_until_gone(tid: i32) {
    while std::fs::exists(format!("/proc/self/task/{tid}")).unwrap() {
        rawthread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn every_thread_is_joined_once() {
    let mut set = JoinSet::new();
    for n in 0..100 {
        set.spawn(move || n);
        assert_eq!(set.len(), n + 1);
    }
    let mut seen = BTreeSet::new();
    while let Some(n) = set.join_next() {
        assert!(seen.insert(n.unwrap()));
        assert_eq!(set.len(), 100 - seen.len());
    }
    assert_eq!(seen, (0..100).collect());
    assert!(set.is_empty() && set.join_next().is_none() && set.try_join_next().is_none());
}

#[test]
fn threads_come_in_the_order_in_which_they_ended() {
    let (sender, receiver) = mpsc::channel();
    let mut set = JoinSet::new();
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let sender = sender.clone();
            let thread = set.spawn(move || {
                sender.send(own_tid()).unwrap();
                rawthread::park();
                n
            });
            (thread, receiver.recv().unwrap())
        })
        .collect();
    let order = [3, 0, 7, 1, 6, 2, 5, 4];
    for n in order {
        let (thread, tid) = &threads[n];
        thread.unpark();
        // Each has left the kernel before the next may end; none is joined meanwhile.
        wait_until_gone(*tid);
    }
    let joined: Vec<_> = set.join_all().into_iter().map(Result::unwrap).collect();
    assert_eq!(joined, order);
}

#[test]
fn a_panic_is_one_members_result() {
    let mut set = JoinSet::new();
    set.spawn(|| panic!("one of three"));
    set.spawn(|| ());
    set.spawn(|| ());
    let panics: Vec<_> = set.join_all().into_iter().filter_map(Result::err).collect();
    assert_eq!(panics.len(), 1);
    assert_eq!(panics[0].downcast_ref::<&str>(), Some(&"one of three"));
}

#[test]
fn a_set_can_be_used_again() {
    let mut set = JoinSet::default();
    let mut joined = 0;
    for round in 0..50 {
        set.spawn(|| ());
        set.spawn(|| ());
        joined += set.join_next().unwrap().map_or(0, |()| 1);
        if round % 7 == 0 {
            joined += set.join_all().len();
            assert!(set.is_empty());
        }
    }
    joined += set.join_all().len();
    assert_eq!(joined, 100);
}

#[test]
fn members_are_what_their_builder_says() {
    let mut set = JoinSet::new();
    let named = set
        .spawn_with(Builder::new().name("member".into()), || {
            rawthread::current().id()
        })
        .unwrap();
    assert_eq!(named.name(), Some("member"));
    assert_eq!(set.join_next().unwrap().unwrap(), named.id());
}

#[test]
fn a_thread_that_could_not_be_made_is_no_member() {
    let mut set = JoinSet::new();
    for _ in 0..100 {
        assert!(
            set.spawn_with(Builder::new().stack_size(1 << 50), || 0)
                .is_err()
        );
        let refuse = || Err(rawthread::Error::from_raw_os_error(libc::EPERM));
        let refused = set.spawn_with(Builder::new().before_start(refuse), || 0);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    assert!(set.is_empty() && set.join_next().is_none());
    set.spawn(|| 1);
    assert_eq!(set.join_next().unwrap().unwrap(), 1);
}

#[test]
fn dropping_a_set_detaches_its_threads_and_drops_their_results() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted(mpsc::Sender<()>);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
            let _ = self.0.send(());
        }
    }
    let (sender, receiver) = mpsc::channel();
    let mut set = JoinSet::new();
    let make = |set: &mut JoinSet<_>| {
        let sender = sender.clone();
        set.spawn(move || {
            rawthread::park();
            Counted(sender)
        })
    };
    let ended = make(&mut set);
    let collected = make(&mut set);
    let running = make(&mut set);
    ended.unpark();
    // Its result is dropped here; the other may be collected with it, or not.
    collected.unpark();
    drop(set.join_next().unwrap().unwrap());
    drop(set);
    running.unpark();
    for _ in 0..3 {
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    assert_eq!(DROPPED.load(Relaxed), 3);
}

#[test]
fn a_result_that_panics_when_dropped_does_not_keep_the_others() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
            assert!(!self.0, "dropped");
        }
    }
    let (sender, receiver) = mpsc::channel();
    let mut set = JoinSet::new();
    for n in 0..5 {
        let sender = sender.clone();
        set.spawn(move || {
            sender.send(own_tid()).unwrap();
            Bomb(n == 2)
        });
    }
    for tid in receiver.iter().take(5) {
        wait_until_gone(tid);
    }
    let caught = catch_unwind(AssertUnwindSafe(|| drop(set)));
    assert!(caught.is_err());
    assert_eq!(DROPPED.load(Relaxed), 5);
}

/// How often the calling thread gave its processor up of its own will: once for each sleep.
fn voluntary_switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("proc is mounted");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .expect("the kernel counts them");
    line.trim().parse().expect("a number")
}

/// While `count` threads run, waiting for the one that ends costs one sleep.
fn sleeps_to_wait_for_one_of(count: usize) -> u64 {
    let mut set = JoinSet::new();
    let small = || Builder::new().stack_size(16 * 1024);
    let mut parked = Vec::new();
    for _ in 0..count {
        match set.spawn_with(small(), rawthread::park) {
            Ok(thread) => parked.push(thread),
            Err(error) => {
                println!("SKIP: {} threads, not {count}: {error}", parked.len());
                break;
            }
        }
    }
    let one = parked.len() / 2;
    let waker = parked[one].clone();
    // Ends one of them when the set's owner has long been asleep.
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        waker.unpark();
    });
    let before = voluntary_switches();
    set.join_next().unwrap().unwrap();
    let sleeps = voluntary_switches() - before;
    other.join().unwrap();
    for thread in &parked {
        thread.unpark();
    }
    let left = set.join_all();
    assert_eq!(left.len(), parked.len() - 1);
    sleeps
}

#[test]
fn waiting_for_any_of_many_is_one_sleep() {
    for count in [10, 10_000] {
        // One for the wait; page faults and the reading of the count itself may add a few, polls
        // every millisecond would add 300, and a wake of every thread the count.
        let sleeps = sleeps_to_wait_for_one_of(count);
        assert!(sleeps <= 4, "{sleeps} sleeps for one of {count}");
    }
}

#[test]
fn sets_full_and_empty_dropped_and_joined_in_storm() {
    std::thread::scope(|s| {
        for seed in 0..3u64 {
            s.spawn(move || {
                let mut set = JoinSet::new();
                let mut random = seed;
                for n in 0..2000u64 {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    set.spawn(move || Box::new(n));
                    match random >> 60 {
                        0..6 => drop(set.join_next().unwrap().unwrap()),
                        6..10 => drop(set.try_join_next()),
                        10 => drop(std::mem::take(&mut set)),
                        11 => drop(set.join_all()),
                        _ => {}
                    }
                }
            });
        }
    });
}

/// The last thread of a set that it holds itself would wait for ever.
#[test]
fn a_set_that_is_left_with_its_own_thread_panics() {
    let (sender, receiver) = std::sync::mpsc::channel::<JoinSet<u32>>();
    let (report, reported) = std::sync::mpsc::channel();
    let mut set = JoinSet::new();
    set.spawn(move || {
        let mut own = receiver.recv().unwrap();
        let other = own.join_next().unwrap().unwrap();
        let wait = std::panic::AssertUnwindSafe(|| own.join_next());
        let payload = std::panic::catch_unwind(wait).unwrap_err();
        let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or(payload.downcast_ref::<String>().cloned());
        report.send((other, text)).unwrap();
        0
    });
    set.spawn(|| 7);
    sender.send(set).unwrap();
    let (other, text) = reported.recv().unwrap();
    assert_eq!(other, 7);
    assert!(text.unwrap().contains("Resource deadlock avoided"));
}

/// A task of the pool that joins itself, as a thread that does.
#[test]
fn a_task_that_joins_itself_panics() {
    let (sender, receiver) = std::sync::mpsc::channel::<rawthread::JoinHandle<()>>();
    let (report, reported) = std::sync::mpsc::channel();
    let task = rawthread::warm::spawn(move || {
        let own = receiver.recv().unwrap();
        // A limit is kept.
        let own = own
            .join_timeout(std::time::Duration::from_millis(1))
            .unwrap_err();
        let own = std::panic::AssertUnwindSafe(|| own.join());
        report.send(std::panic::catch_unwind(own).is_err()).unwrap();
    });
    sender.send(task).unwrap();
    assert!(reported.recv().unwrap());
}
