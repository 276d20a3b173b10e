//! Destructors of all three kinds of thread-local values that touch each other: std's
//! `thread_local!` (libc's list), `local!` (ours), and pthread keys.
//!
//! Whatever order they come in, each runs on its own thread, and none is left for the next thread
//! on the same slot, whose variables are fresh.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::common::{MUSL, in_subprocess};

static DROPPED: AtomicUsize = AtomicUsize::new(0);
static STALE: AtomicUsize = AtomicUsize::new(0);

/// A value that knows which thread made it; what another thread drops is counted as stale.
struct Owned(Box<usize>);

impl Owned {
    fn new() -> Self {
        Self(Box::new(RUN.load(Ordering::SeqCst)))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
        if *self.0 != RUN.load(Ordering::SeqCst) {
            STALE.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Which thread runs: they run one after another.
static RUN: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` on threads one after another, each on the slot of the one before. Every thread must
/// drop `each` values, all of its own.
fn run(how: impl Fn(fn()), body: fn(), each: usize) {
    for round in 1..=20 {
        RUN.fetch_add(1, Ordering::SeqCst);
        let before = DROPPED.load(Ordering::SeqCst);
        how(body);
        assert_eq!(
            DROPPED.load(Ordering::SeqCst) - before,
            each,
            "round {round}"
        );
        assert_eq!(STALE.load(Ordering::SeqCst), 0, "round {round}");
    }
}

/// Libc loses what a destructor makes after its list was run; says so.
fn libc_loses_some() -> bool {
    super::support::by_libc()
}

fn on_thread(body: fn()) {
    rawthread::spawn(body).join().unwrap();
}

fn on_warm_thread(body: fn()) {
    rawthread::warm::spawn(body).join().unwrap();
}

/// In a child that shares the memory and has a thread control block of its own.
fn on_child(body: fn()) {
    use rawthread::flags::CloneFlags;
    let child = rawthread::process::Builder::new()
        .flags(CloneFlags::VM)
        .own_tls(true);
    // SAFETY: the parent waits; the child touches nothing but thread-locals and atomics.
    let mut child = unsafe {
        child.spawn(move || {
            body();
            0
        })
    }
    .unwrap();
    assert!(child.wait().unwrap().success());
}

// The chain of the first fault: std's FIRST makes OURS, whose destructor touches std's LAST.
struct MakesOurs;
impl Drop for MakesOurs {
    fn drop(&mut self) {
        OURS.with(|_| ());
    }
}
struct TouchesLast;
impl Drop for TouchesLast {
    fn drop(&mut self) {
        LAST.with(|_| ());
    }
}
thread_local!(static FIRST: MakesOurs = const { MakesOurs });
thread_local!(static LAST: Owned = Owned::new());
rawthread::local!(static OURS: TouchesLast = TouchesLast);

fn first() {
    FIRST.with(|_| ());
}

#[test]
fn a_local_that_a_destructor_made_leaves_nothing_to_the_next_thread() {
    if in_subprocess(
        "destructors::a_local_that_a_destructor_made_leaves_nothing_to_the_next_thread",
    ) && !libc_loses_some()
    {
        run(on_thread, first, 1);
    }
}

#[test]
fn a_local_that_a_destructor_made_leaves_nothing_to_the_next_warm_task() {
    if in_subprocess(
        "destructors::a_local_that_a_destructor_made_leaves_nothing_to_the_next_warm_task",
    ) && !libc_loses_some()
    {
        run(on_warm_thread, first, 1);
    }
}

#[test]
fn a_local_that_a_destructor_made_leaves_nothing_to_the_next_child() {
    if in_subprocess("destructors::a_local_that_a_destructor_made_leaves_nothing_to_the_next_child")
    {
        run(on_child, first, 1);
    }
}

/// Four steps through all kinds: std's, ours, a key, std's again, and ours again.
mod chain {
    use super::*;

    static KEY: AtomicU32 = AtomicU32::new(0);

    struct Touches(fn());
    impl Drop for Touches {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    thread_local!(static A: Touches = const { Touches(make_b) });
    rawthread::local!(static B: Touches = Touches(make_c));
    thread_local!(static D: Touches = const { Touches(make_e) });
    rawthread::local!(static E: Touches = Touches(make_f));
    thread_local!(static F: Owned = Owned::new());

    fn make_b() {
        B.with(|_| ());
    }
    fn make_c() {
        let key = KEY.load(Ordering::Relaxed);
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
    }
    unsafe extern "C" fn make_d(_: *mut c_void) {
        D.with(|_| ());
    }
    fn make_e() {
        E.with(|_| ());
    }
    fn make_f() {
        F.with(|_| ());
    }

    fn start() {
        A.with(|_| ());
    }

    #[test]
    fn all_kinds_in_turn_run_to_the_end() {
        if !in_subprocess("destructors::chain::all_kinds_in_turn_run_to_the_end")
            || libc_loses_some()
        {
            return;
        }
        let mut key = 0;
        assert_eq!(
            unsafe { libc::pthread_key_create(&mut key, Some(make_d)) },
            0
        );
        KEY.store(key, Ordering::Relaxed);
        run(on_thread, start, 1);
        run(on_warm_thread, start, 1);
        run(on_child, start, 1);
    }
}

/// A key's destructor that sets its value again each time is run four times, as POSIX has it; what
/// it makes in the last round is dropped there or lost, and not the next thread's.
mod endless {
    use super::*;

    static KEY: AtomicU32 = AtomicU32::new(0);
    static RUNS: AtomicUsize = AtomicUsize::new(0);

    struct SetsKey(#[allow(dead_code, reason = "its memory would be freed twice")] Owned);
    impl Drop for SetsKey {
        fn drop(&mut self) {
            set();
        }
    }
    // Each can be made once a thread.
    macro_rules! values {
        ($($name:ident)*) => {
            $(thread_local!(static $name: SetsKey = SetsKey(Owned::new()));)*
            const VALUES: &[fn()] = &[$(|| $name.with(|_| ())),*];
        };
    }
    values!(A B C D E F G H);
    thread_local!(static NEXT: Cell<usize> = const { Cell::new(0) });

    fn set() {
        let key = KEY.load(Ordering::Relaxed);
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) };
    }
    unsafe extern "C" fn set_again(_: *mut c_void) {
        RUNS.fetch_add(1, Ordering::SeqCst);
        let next = NEXT.get();
        NEXT.set(next + 1);
        VALUES[next]();
    }

    #[test]
    fn what_never_ends_is_bounded_and_lost() {
        if !in_subprocess("destructors::endless::what_never_ends_is_bounded_and_lost")
            || libc_loses_some()
        {
            return;
        }
        let mut key = 0;
        assert_eq!(
            unsafe { libc::pthread_key_create(&mut key, Some(set_again)) },
            0
        );
        KEY.store(key, Ordering::Relaxed);
        for (index, how) in [on_thread, on_warm_thread, on_child]
            .into_iter()
            .enumerate()
        {
            let before = RUNS.load(Ordering::SeqCst);
            // musl has no list of thread-locals' destructors: std runs them in that of a key of its own,
            // which comes before this one, so that what the last round makes is not destroyed.
            let destroyed = if MUSL { 3 } else { 4 };
            run(how, set, destroyed);
            assert_eq!(RUNS.load(Ordering::SeqCst) - before, 4 * 20, "way {index}");
        }
    }
}
