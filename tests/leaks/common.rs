//! Leak tests that run under more than one global allocator, each in a process of its own.

use std::cell::RefCell;

use rawthread::{Builder, JoinHandle};

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    maps: usize,
    descriptors: usize,
    /// In bytes; exact, unlike statm's, which lags by some pages for each processor.
    resident: usize,
}

impl Holdings {
    fn now() -> Self {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let resident = resident.unwrap().trim().trim_end_matches(" kB");
        Self {
            maps: std::fs::read_to_string("/proc/self/maps")
                .unwrap()
                .lines()
                .count(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            resident: resident.parse::<usize>().unwrap() * 1024,
        }
    }
}

/// What `work` leaves behind: it is done `warm` times to fill every cache, then `times` more, in up
/// to four batches of which one must leave nothing.
///
/// A leak grows in every batch; a cache that chance fills further (more threads at once than ever
/// before, an allocator's arena touched for the first time) comes to rest.
///
/// Tolerance: a leak has to show in `times` repetitions. Descriptors may not grow at all. Map
/// entries may by 16, for an allocator may still make an arena: one leak in a hundred spawns
/// would be more. Resident memory may by 32 bytes a spawn, the least that malloc gives twice,
/// and 256 KiB for pages that an allocator had reserved and now touches.
fn assert_flat(warm: usize, times: usize, mut work: impl FnMut(usize)) {
    const BATCHES: usize = 4;
    (0..warm).for_each(&mut work);
    let mut seen = vec![Holdings::now()];
    for _ in 0..BATCHES {
        (0..times).for_each(&mut work);
        let (before, after) = (seen[seen.len() - 1], Holdings::now());
        if after.descriptors <= before.descriptors
            && after.maps <= before.maps + 16
            && after.resident <= before.resident + times * 32 + (256 << 10)
        {
            return;
        }
        seen.push(after);
    }
    panic!("{times} times left something, every time: {seen:#?}");
}

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static TABLE: RefCell<Box<[u64]>> = RefCell::new(vec![1; 100].into());
}

/// Allocates, and leaves something in thread-locals that their destructors must free.
fn body(number: usize) -> Vec<usize> {
    NOTES.with_borrow_mut(|notes| notes.extend((0..10).map(|index| format!("{number}-{index}"))));
    TABLE.with_borrow_mut(|table| table[number % 100] += 1);
    let large = std::hint::black_box(vec![0u8; 10_000]);
    vec![number; large.len() / 1000]
}

fn start(builder: Builder, number: usize) -> JoinHandle<Vec<usize>> {
    builder.spawn(move || body(number)).unwrap()
}

pub(crate) fn spawn_and_join() {
    assert_flat(2_000, 20_000, |number| {
        let thread = start(Builder::new().name(format!("worker {number}")), number);
        assert_eq!(thread.join().unwrap(), [number; 10]);
    });
}

pub(crate) fn many_at_once() {
    assert_flat(20, 200, |number| {
        let threads: Vec<_> = (0..100).map(|_| start(Builder::new(), number)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().len(), 10);
        }
    });
}

pub(crate) fn panics() {
    std::panic::set_hook(Box::new(|_| {}));
    assert_flat(500, 5_000, |number| {
        let thread = Builder::new().spawn(move || panic!("{}", body(number).len()));
        let payload: Box<dyn std::any::Any + Send> =
            thread.map(JoinHandle::<()>::join).unwrap().unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "10");
    });
}

pub(crate) fn detached() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    /// A result that counts its end: in whichever thread that is.
    struct Result(#[allow(dead_code, reason = "freed with it")] Vec<usize>);
    impl Drop for Result {
        fn drop(&mut self) {
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
    }
    // More at once than will be: how many that are is a matter of chance.
    let crowd: Vec<_> = (0..100)
        .map(|number| start(Builder::new(), number))
        .collect();
    crowd.into_iter().for_each(|thread| drop(thread.join()));
    let mut made = 0;
    assert_flat(1_000, 10_000, |number| {
        drop(Builder::new().spawn(move || Result(body(number))).unwrap());
        made += 1;
        // So that there is a bound to how many live at once.
        while ENDED.load(Ordering::Relaxed) + 32 < made {
            rawthread::yield_now();
        }
    });
}

pub(crate) fn failed_spawns() {
    start(Builder::new(), 0).join().unwrap();
    assert_flat(500, 5_000, |number| {
        let kept = vec![number; 100];
        for builder in [
            Builder::new().stack_size(usize::MAX),
            Builder::new().stack_size(1 << 57),
            Builder::new().guard_size(1 << 57),
        ] {
            let kept = kept.clone();
            let failed = builder
                .name("a name of its own".repeat(10))
                .spawn(move || kept.len());
            assert!(failed.is_err());
        }
    });
}

/// Every pair of sizes comes back often enough to be warm.
pub(crate) fn stacks_and_guards_of_many_sizes() {
    const STACKS: [usize; 9] = [0, 1, 64, 100, 200, 500, 1000, 2048, 5000];
    const GUARDS: [usize; 9] = [0, 1, 4, 5, 12, 64, 100, 1024, 3000];
    assert_flat(500, 5_000, |number| {
        let stack = STACKS[number % STACKS.len()] * 1024;
        let guard = GUARDS[number / STACKS.len() % GUARDS.len()] * 1024;
        let builder = Builder::new().stack_size(stack).guard_size(guard);
        assert_eq!(start(builder, number).join().unwrap().len(), 10);
    });
}

/// The tests, by the names that `common::in_subprocess` finds them under.
macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                if common::in_subprocess(stringify!($name)) {
                    scenarios::$name();
                }
            }
        )*
    };
}

/// All of them.
macro_rules! all_tests {
    () => {
        tests! {
            spawn_and_join many_at_once panics detached failed_spawns
            stacks_and_guards_of_many_sizes
        }
    };
}
