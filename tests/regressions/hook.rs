//! A panic hook that the program sets is never lost.
//!
//! The first named spawn took the hook, looked at it, and put it back: one that was set in between
//! was lost, some 3 times in 3,000 tries.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::common;

/// While a hook runs std lets no thread take or set one: a spawn that does so waits for the hook,
/// and here the hook waits for the spawn.
#[test]
fn a_named_spawn_leaves_the_panic_hook_alone() {
    if !common::in_subprocess("hook::a_named_spawn_leaves_the_panic_hook_alone") {
        return;
    }
    static SPAWNED: AtomicUsize = AtomicUsize::new(0);
    common::watchdog(60);
    std::panic::set_hook(Box::new(|_| {
        let spawner = std::thread::spawn(|| {
            let named = rawthread::Builder::new().name("named".into());
            named.spawn(|| ()).unwrap().join().unwrap();
        });
        spawner.join().unwrap();
        SPAWNED.fetch_add(1, Ordering::Relaxed);
    }));
    assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
    assert_eq!(SPAWNED.load(Ordering::Relaxed), 1);
}
