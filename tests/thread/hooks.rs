//! Spawn hooks: in which thread, in which order, for which spawns.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rawthread::{Builder, JoinSet, add_spawn_hook, warm};

thread_local! {
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
    static STEPS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Runs `test` in a thread of its own: hooks stay with the thread that adds them.
fn alone(test: fn()) {
    std::thread::spawn(test).join().unwrap();
}

fn inherit_context() {
    add_spawn_hook(|_| {
        let value = CONTEXT.get();
        move || CONTEXT.set(value)
    });
}

#[test]
fn context_follows_every_kind_of_spawn() {
    alone(|| {
        inherit_context();
        CONTEXT.set(7);
        assert_eq!(rawthread::spawn(|| CONTEXT.get()).join().unwrap(), 7);
        let built = Builder::new().name("a".into()).spawn(|| CONTEXT.get());
        assert_eq!(built.unwrap().join().unwrap(), 7);
        rawthread::scope(|s| {
            assert_eq!(s.spawn(|| CONTEXT.get()).join().unwrap(), 7);
        });
        let mut set = JoinSet::new();
        set.spawn(|| CONTEXT.get());
        assert_eq!(set.join_next().unwrap().unwrap(), 7);
        // The first task comes with its worker, later ones find it.
        for value in 8..12 {
            CONTEXT.set(value);
            assert_eq!(warm::spawn(|| CONTEXT.get()).join().unwrap(), value);
        }
        // Inherited: by threads of threads, also of tasks.
        CONTEXT.set(20);
        let grandchild = rawthread::spawn(|| rawthread::spawn(|| CONTEXT.get()).join().unwrap());
        assert_eq!(grandchild.join().unwrap(), 20);
        let grandchild = warm::spawn(|| warm::spawn(|| CONTEXT.get()).join().unwrap());
        assert_eq!(grandchild.join().unwrap(), 20);
    });
}

#[test]
fn hooks_are_those_of_the_spawning_thread_alone() {
    alone(|| {
        let before = rawthread::spawn(|| {
            rawthread::park();
            rawthread::spawn(|| CONTEXT.get()).join().unwrap()
        });
        inherit_context();
        CONTEXT.set(5);
        before.thread().unpark();
        assert_eq!(before.join().unwrap(), 0, "it ran already");
        // A task's hooks end with the task.
        warm::spawn(inherit_context).join().unwrap();
    });
    alone(|| {
        CONTEXT.set(5);
        for _ in 0..3 {
            assert_eq!(warm::spawn(|| CONTEXT.get()).join().unwrap(), 0);
        }
    });
}

#[test]
fn the_newest_hook_runs_first_in_both_threads_and_knows_the_new_thread() {
    alone(|| {
        let ran = Arc::new(Mutex::new(Vec::new()));
        for number in 1..=3 {
            let ran = ran.clone();
            add_spawn_hook(move |new| {
                assert_eq!(new.name(), Some("new"));
                assert_ne!(new.id(), rawthread::current().id());
                ran.lock().unwrap().push((number, new.id()));
                move || STEPS.with_borrow_mut(|steps| steps.push(number))
            });
        }
        let new = Builder::new()
            .name("new".into())
            .spawn(|| (STEPS.take(), rawthread::current().id()))
            .unwrap();
        let (steps, id) = new.join().unwrap();
        assert_eq!(steps, [3, 2, 1]);
        assert_eq!(*ran.lock().unwrap(), [(3, id), (2, id), (1, id)]);
    });
}

#[test]
fn a_hook_that_a_hook_adds_is_for_later_spawns() {
    alone(|| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        add_spawn_hook(|_| {
            if CALLS.fetch_add(1, Relaxed) == 0 {
                inherit_context();
            }
            || ()
        });
        CONTEXT.set(3);
        assert_eq!(rawthread::spawn(|| CONTEXT.get()).join().unwrap(), 0);
        assert_eq!(rawthread::spawn(|| CONTEXT.get()).join().unwrap(), 3);
    });
}

#[test]
fn a_builder_may_leave_hooks_out() {
    alone(|| {
        inherit_context();
        CONTEXT.set(3);
        let thread = Builder::new().no_hooks().spawn(|| {
            let own = CONTEXT.get();
            CONTEXT.set(9);
            (own, rawthread::spawn(|| CONTEXT.get()).join().unwrap())
        });
        assert_eq!(
            thread.unwrap().join().unwrap(),
            (0, 0),
            "neither run nor inherited"
        );
    });
}

/// The reaper of a child whose handle was dropped is no spawn of the program's: a hook that panics would do so
/// in a destructor, during an unwind perhaps.
#[test]
fn the_reaper_of_a_dropped_child_runs_no_hook() {
    use rawthread::process::Command;
    alone(|| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        add_spawn_hook(|_| {
            CALLS.fetch_add(1, Relaxed);
            || ()
        });
        // It runs until its stdin is closed: the drop finds it running.
        let mut child = Command::new("cat");
        child.stdin(rawthread::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        let stdin = child.stdin.take();
        drop(child);
        assert_eq!(CALLS.load(Relaxed), 0);
        drop(stdin);
    });
}

#[test]
fn a_panic_of_a_hook_leaves_the_spawn_and_nothing_behind() {
    alone(|| {
        let kept = Arc::new(());
        add_spawn_hook(|new| {
            assert_ne!(new.name(), Some("refused"), "the hook refuses it");
            || ()
        });
        for _ in 0..100 {
            let inside = kept.clone();
            let refused = Builder::new().name("refused".into());
            let spawned = catch_unwind(AssertUnwindSafe(|| refused.spawn(move || drop(inside))));
            assert!(spawned.is_err());
        }
        let inside = kept.clone();
        let scoped = catch_unwind(AssertUnwindSafe(|| {
            rawthread::scope(|s| {
                let refused = Builder::new().name("refused".into());
                refused.spawn_scoped(s, || drop(inside)).map(drop).unwrap();
            });
        }));
        assert!(scoped.is_err(), "and the scope ended");
        let mut set = JoinSet::new();
        let refused = Builder::new().name("refused".into());
        assert!(catch_unwind(AssertUnwindSafe(|| set.spawn_with(refused, || ()))).is_err());
        assert!(set.is_empty() && set.join_next().is_none());
        assert_eq!(Arc::strong_count(&kept), 1, "the closures were dropped");
        assert_eq!(rawthread::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_panic_of_the_step_is_the_new_threads() {
    alone(|| {
        add_spawn_hook(|_| || std::panic::panic_any("step"));
        let ran = Arc::new(AtomicUsize::new(0));
        for spawn in [
            rawthread::spawn::<Box<dyn FnOnce() + Send>, ()>,
            warm::spawn,
        ] {
            let inside = ran.clone();
            let thread = spawn(Box::new(move || {
                inside.fetch_add(1, Relaxed);
            }));
            let payload = thread.join().unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"step"));
        }
        assert_eq!(ran.load(Relaxed), 0, "the closure does not run");
        assert_eq!(Arc::strong_count(&ran), 1, "and is dropped");
    });
}

/// Where the thread's hooks are gone, a spawn runs none; and a long list ends without a recursion.
#[test]
fn hooks_end_with_their_thread() {
    struct SpawnsLate(Arc<AtomicUsize>);
    impl Drop for SpawnsLate {
        fn drop(&mut self) {
            let value = rawthread::spawn(|| CONTEXT.get()).join().unwrap();
            self.0.store(value as usize, Relaxed);
        }
    }
    rawthread::local!(static LATE: RefCell<Option<SpawnsLate>> = const { RefCell::new(None) });

    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let late = SpawnsLate(seen.clone());
    let alive = Arc::new(());
    let inside = alive.clone();
    rawthread::spawn(move || {
        // Older than the hooks, so dropped after them.
        LATE.set(Some(late));
        inherit_context();
        for _ in 0..100_000 {
            let kept = inside.clone();
            add_spawn_hook(move |_| {
                let _kept = &kept;
                || ()
            });
        }
        CONTEXT.set(5);
    })
    .join()
    .unwrap();
    assert_eq!(seen.load(Relaxed), 0);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A destructor that runs after the thread's hooks are gone: there a hook is of no use, and does no harm.
#[test]
fn a_hook_may_be_added_when_the_others_are_gone() {
    static ADDED: AtomicUsize = AtomicUsize::new(0);
    fn add(count: usize) {
        ADDED.fetch_add(count, Relaxed);
    }
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            add_spawn_hook(|_| || add(100));
            rawthread::spawn(|| ()).join().unwrap();
            add(1);
        }
    }
    rawthread::local!(static LATE: Late = Late);
    for run in [
        |body: fn()| rawthread::spawn(body).join().unwrap(),
        |body: fn()| warm::spawn(body).join().unwrap(),
        |body: fn()| std::thread::spawn(body).join().unwrap(),
    ] {
        ADDED.store(0, Relaxed);
        // The older value is dropped last.
        run(|| {
            LATE.with(|_| ());
            add_spawn_hook(|_| || add(10));
            rawthread::spawn(|| ()).join().unwrap();
        });
        assert_eq!(ADDED.load(Relaxed), 11);
    }
}
