//! What compiles with `std::sync` compiles with `rawthread::sync`, and panics name the caller's line.
//! What must not compile is in the documentation of the types, as `compile_fail`.

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Mutex;

/// The same functions for both.
macro_rules! with_both {
    ($($item:item)*) => {
        mod std_sync {
            #[allow(unused_imports, reason = "not every item takes all")]
            use std::sync::{OnceLock, RwLock, RwLockReadGuard, LazyLock};
            $($item)*
        }
        mod ours {
            use super::Unwrap as _;
            use rawthread::sync::{OnceLock, RwLock, RwLockReadGuard, LazyLock};
            $($item)*
        }
    };
}

/// Our locks have no poison to unwrap.
trait Unwrap: Sized {
    fn unwrap(self) -> Self {
        self
    }
}

impl<T: ?Sized> Unwrap for rawthread::sync::RwLockReadGuard<'_, T> {}

with_both! {
    /// The text goes first; the cell never looks at it again.
    pub(crate) fn a_cell_may_outlive_what_it_refers_to() -> usize {
        let cell = OnceLock::new();
        let nested: OnceLock<Vec<&str>> = OnceLock::new();
        let text = String::from("short");
        cell.set(text.as_str()).unwrap();
        nested.set(vec![&text]).unwrap();
        cell.get().map_or(0, |text: &&str| text.len()) + nested.get().map_or(0, Vec::len)
    }

    pub(crate) fn a_lazy_value_may_borrow() -> usize {
        let text = String::from("short");
        let lazy = LazyLock::new(|| text.as_str());
        lazy.len()
    }

    /// A guard of longer-lived data is one of shorter-lived data.
    pub(crate) fn shorten<'guard, 'data>(
        guard: RwLockReadGuard<'guard, &'static str>,
        _for: &'data str,
    ) -> RwLockReadGuard<'guard, &'data str> {
        guard
    }

    pub(crate) fn a_read_guard_is_covariant() -> usize {
        let lock = RwLock::new("static");
        let text = String::from("short");
        let guard = shorten(lock.read().unwrap(), &text);
        [*guard, text.as_str()].concat().len()
    }
}

#[test]
fn programs_for_std_compile() {
    assert_eq!(ours::a_cell_may_outlive_what_it_refers_to(), 6);
    assert_eq!(std_sync::a_cell_may_outlive_what_it_refers_to(), 6);
    assert_eq!(ours::a_lazy_value_may_borrow(), 5);
    assert_eq!(std_sync::a_lazy_value_may_borrow(), 5);
    assert_eq!(ours::a_read_guard_is_covariant(), 11);
    assert_eq!(std_sync::a_read_guard_is_covariant(), 11);
}

/// Beyond std, whose `LazyLock` has a destructor of its own.
#[test]
#[allow(clippy::needless_late_init, reason = "the order of the drops")]
fn a_lazy_value_may_outlive_what_it_refers_to() {
    let lazy;
    let text = String::from("short");
    lazy = rawthread::sync::LazyLock::new(|| text.as_str());
    assert_eq!(lazy.len(), 5);
}

#[test]
fn values_are_dropped_once() {
    use rawthread::sync::{LazyLock, OnceLock};
    use std::rc::Rc;
    let value = Rc::new(());
    let empty = OnceLock::<Rc<()>>::new();
    let full = OnceLock::from(value.clone());
    let mut taken = OnceLock::from(value.clone());
    let lazy = LazyLock::new(|| value.clone());
    assert_eq!(Rc::strong_count(&lazy), 4);
    drop(taken.take());
    assert_eq!(taken.set(value.clone()), Ok(()));
    assert!(taken.set(value.clone()).is_err());
    assert_eq!(Rc::strong_count(&value), 4);
    drop((empty, full, taken, lazy));
    assert_eq!(Rc::strong_count(&value), 1);
}

fn unwind_safe<T: UnwindSafe>() {}
fn ref_unwind_safe<T: RefUnwindSafe>() {}

/// As std's types, and as its locks without poisoning.
#[test]
fn unwind_safety_is_that_of_std() {
    macro_rules! check {
        ($($path:ident)::+) => {{
            use $($path)::+::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, RwLockReadGuard};
            unwind_safe::<Mutex<std::cell::Cell<u8>>>();
            unwind_safe::<RwLock<std::cell::Cell<u8>>>();
            unwind_safe::<RwLockReadGuard<'static, u8>>();
            ref_unwind_safe::<RwLockReadGuard<'static, u8>>();
            unwind_safe::<OnceLock<String>>();
            ref_unwind_safe::<OnceLock<String>>();
            unwind_safe::<LazyLock<String>>();
            ref_unwind_safe::<LazyLock<String>>();
            ref_unwind_safe::<Condvar>();
            ref_unwind_safe::<Once>();
            ref_unwind_safe::<Barrier>();
        }};
    }
    check!(std::sync);
    check!(rawthread::sync);
}

/// The line and file in which `f` panics, and its message.
fn place(f: impl FnOnce()) -> (String, u32, String) {
    static ONE: Mutex<()> = Mutex::new(());
    static PLACE: Mutex<Option<(String, u32)>> = Mutex::new(None);
    let _one = ONE.lock();
    let own = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == own {
            let location = info.location().unwrap();
            *PLACE.lock().unwrap() = Some((location.file().into(), location.line()));
        }
    }));
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    std::panic::set_hook(before);
    let (file, line) = PLACE.lock().unwrap().take().unwrap();
    let message = payload.downcast_ref::<String>().cloned();
    let message = message.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).into()));
    (file, line, message.unwrap())
}

#[test]
fn a_poisoned_lazy_value_names_who_asked() {
    use rawthread::sync::LazyLock;
    let lazy = LazyLock::<u8>::new(|| panic!("no luck"));
    assert_eq!(place(|| _ = LazyLock::force(&lazy)).2, "no luck");
    let asked = line!() + 1;
    let (file, line, message) = place(|| _ = LazyLock::force(&lazy));
    assert_eq!((file.as_str(), line), (file!(), asked));
    assert!(message.starts_with("LazyLock: poisoned"), "{message}");
    let asked = line!() + 1;
    let (file, line, _) = place(|| _ = *lazy);
    assert_eq!((file.as_str(), line), (file!(), asked));
}

#[test]
fn too_many_permits_name_who_asked() {
    let asked = line!() + 1;
    let (file, line, _) = place(|| _ = rawthread::sync::Semaphore::new(u32::MAX));
    assert_eq!((file.as_str(), line), (file!(), asked));
}

/// 2^30 - 2 readers, which a program has only if it forgets guards.
#[test]
#[allow(unsafe_code, reason = "counts a billion readers by hand")]
fn one_reader_too_many_names_who_asked() {
    use std::sync::atomic::{AtomicU32, Ordering};
    const MOST: u32 = (1 << 30) - 2;
    let lock = rawthread::sync::RwLock::new(());
    // SAFETY: two words, which are atomics (`sizes_are_as_documented`).
    let words = unsafe { &*(&raw const lock).cast::<[AtomicU32; 2]>() };
    let reader = lock.read();
    let count = words.iter().find(|word| word.load(Ordering::Relaxed) == 1);
    let count = count.expect("the word that counts readers");
    count.store(MOST - 1, Ordering::Relaxed);
    std::mem::forget(lock.try_read().expect("the last one"));
    assert!(lock.try_read().is_err());
    let asked = line!() + 1;
    let (file, line, message) = place(|| _ = lock.read());
    assert_eq!((file.as_str(), line), (file!(), asked));
    assert!(message.contains("too many readers"), "{message}");
    assert_eq!(count.load(Ordering::Relaxed), MOST, "unchanged");
    drop(reader);
    assert!(lock.try_read().is_ok());
}
