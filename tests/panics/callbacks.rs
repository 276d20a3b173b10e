//! Panics in everything of the program's that this crate calls or drops, and then all works.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::process::Command;
use rawthread::sync::{LazyLock, Mutex, Once, OnceLock, RwLock};
use rawthread::{Builder, Error, JoinSet, add_spawn_hook, process, warm};

use crate::common::{in_subprocess, watchdog};

/// Panics when it is dropped, once.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

fn fails(what: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(what)).is_err());
}

/// What takes each lock, list and count of this crate's at least once.
fn all_works() {
    rawthread::spawn(|| ()).join().unwrap();
    warm::spawn(|| ()).join().unwrap();
    rawthread::scope(|scope| {
        scope.spawn(|| ());
    });
    let mut set = JoinSet::new();
    set.spawn(|| 1);
    assert_eq!(set.join_next().unwrap().unwrap(), 1);
    rawthread::reserve(2).unwrap();
    rawthread::trim();
    assert!(rawthread::threads().count() < 1000);
    assert!(Command::new("true").status().unwrap().success());
    crate::common::in_forked_child(|| rawthread::spawn(|| ()).join().unwrap());
}

#[test]
fn a_panic_of_any_callback_leaves_all_working() {
    if !in_subprocess("callbacks::a_panic_of_any_callback_leaves_all_working") {
        return;
    }
    watchdog(120);
    std::panic::set_hook(Box::new(|_| {}));
    let refused = || Builder::new().stack_size(1 << 60);
    let panics: &[(&str, fn())] = &[
        ("a closure", || {
            assert!(rawthread::spawn(|| panic!()).join().is_err());
        }),
        ("a task", || {
            assert!(warm::spawn(|| panic!()).join().is_err());
        }),
        ("a payload's drop", || {
            let payload = rawthread::spawn(|| panic_any(Grudge)).join().unwrap_err();
            fails(|| drop::<Box<dyn Any + Send>>(payload));
        }),
        ("a result's drop by the joiner", || {
            fails(|| drop(rawthread::spawn(|| Grudge).join()));
        }),
        ("a result's drop with a handle", || {
            let thread = rawthread::spawn(|| Grudge);
            while !thread.is_finished() {
                rawthread::yield_now();
            }
            fails(|| drop(thread));
        }),
        ("a result's drop with a set", || {
            let mut set = JoinSet::new();
            for _ in 0..2 {
                let thread = Builder::new().name("of a set".into());
                set.spawn_with(thread, || Grudge).unwrap();
            }
            fails(|| drop(set.join_next()));
            // Done, so that the set drops its result and not the thread, which would end the process.
            let is_there =
                || rawthread::threads().any(|thread| thread.thread().name() == Some("of a set"));
            while is_there() {
                rawthread::yield_now();
            }
            fails(|| drop(set));
        }),
        ("a spawn hook", || {
            let thread = std::thread::spawn(|| {
                add_spawn_hook(|_| -> fn() { panic!() });
                fails(|| drop(rawthread::spawn(|| ())));
                fails(|| drop(warm::spawn(|| ())));
            });
            thread.join().unwrap();
        }),
        ("a spawn hook's second half", || {
            let thread = std::thread::spawn(|| {
                add_spawn_hook(|_| || panic!());
                assert!(rawthread::spawn(|| ()).join().is_err());
                assert!(warm::spawn(|| ()).join().is_err());
            });
            thread.join().unwrap();
        }),
        ("a step before the start", || {
            let step = || -> Result<(), Error> { panic!() };
            assert!(Builder::new().before_start(step).spawn(|| ()).is_err());
        }),
        ("a scope's closure", || {
            fails(|| {
                rawthread::scope(|scope| {
                    scope.spawn(|| ());
                    panic!()
                })
            });
        }),
        ("a hook of a command", || {
            let mut command = Command::new("true");
            command.parent_hook(|_| panic!());
            fails(|| drop(command.status()));
        }),
        ("a hook of a child", || {
            let child = || unsafe { process::Builder::new().spawn_with_hook(|_| panic!(), || 0) };
            fails(|| drop(child()));
        }),
        ("an initialiser of a thread-local", || {
            rawthread::local!(static OWN: u32 = const { 0 });
            std::thread_local!(static STD: u32 = panic!());
            let thread = rawthread::spawn(|| {
                OWN.with(|_| ());
                STD.with(|_| ());
            });
            assert!(thread.join().is_err());
        }),
        ("code under the locks of sync", || {
            static LOCK: Mutex<u32> = Mutex::new(0);
            static WORDS: RwLock<u32> = RwLock::new(0);
            static ONCE: Once = Once::new();
            static CELL: OnceLock<u32> = OnceLock::new();
            static LAZY: LazyLock<u32> = LazyLock::new(|| panic!());
            fails(|| {
                let _guard = LOCK.lock();
                panic!()
            });
            fails(|| {
                let _guard = WORDS.write();
                panic!()
            });
            fails(|| ONCE.call_once(|| panic!()));
            fails(|| {
                CELL.get_or_init(|| panic!());
            });
            fails(|| {
                let _ = *LAZY;
            });
            assert_eq!(*LOCK.lock() + *WORDS.read(), 0);
            assert_eq!(*CELL.get_or_init(|| 3), 3);
        }),
        ("what a walk over threads calls", || {
            let thread = rawthread::spawn(rawthread::park);
            fails(|| rawthread::threads().for_each(|thread| assert_eq!(thread.tid(), 0)));
            thread.thread().unpark();
            thread.join().unwrap();
        }),
    ];
    for (name, panic) in panics {
        println!("{name}");
        panic();
        all_works();
    }
    // A spawn that fails drops its closure.
    let grudge = Grudge;
    fails(|| drop(refused().spawn(move || drop(grudge))));
    all_works();
}

/// A panic hook that spawns, joins and panics in other threads: it runs under no lock of this crate's.
#[test]
fn a_panic_hook_may_use_threads() {
    static HOOKED: AtomicU32 = AtomicU32::new(0);
    if !in_subprocess("callbacks::a_panic_hook_may_use_threads") {
        return;
    }
    watchdog(120);
    std::panic::set_hook(Box::new(|_| {
        if HOOKED.fetch_add(1, Ordering::SeqCst) < 3 {
            rawthread::spawn(|| ()).join().unwrap();
            warm::spawn(|| ()).join().unwrap();
            assert!(rawthread::threads().count() < 1000);
        }
    }));
    assert!(
        Builder::new()
            .name("a".repeat(40))
            .spawn(|| panic!())
            .unwrap()
            .join()
            .is_err()
    );
    assert!(warm::spawn(|| panic!()).join().is_err());
    assert!(HOOKED.load(Ordering::SeqCst) >= 2);
    all_works();
}
