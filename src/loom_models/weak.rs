//! Loom's atomics, of which a model's *broken twin* weakens some.
//!
//! A twin is the same model on the same code with one [`Fault`], which the environment variable
//! `RAWTHREAD_MODEL_FAULT` names: `FILE OPERATION KIND`. `FILE` is a file under `src` (or `FILE:LINE`), whose
//! calls of the atomic's method `OPERATION` are changed:
//!
//! | kind | the operation |
//! |---|---|
//! | `acquire` | has no Acquire |
//! | `release` | has no Release |
//! | `torn` | is a load and a store |
//! | `look` | is a load, where it leaves the word as it was |
//!
//! `futex wait blind` has a futex wait sleep without a look at its word, `futex wake none` wakes no
//! waiter, `futex wake one` wakes one of all.
//!
//! [`super::twins`] lists the twins and runs them. `RAWTHREAD_MODEL_SITES=1` prints each place that has an
//! ordering, for lists of faults by line.

use loom::sync::atomic as imp;
pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::collections::BTreeSet;
use std::panic::Location;
use std::string::{String, ToString};
use std::sync::{Mutex, OnceLock};
use std::vec::Vec;

struct Fault {
    file: String,
    line: Option<u32>,
    operation: String,
    kind: String,
}

fn fault() -> Option<&'static Fault> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    FAULT
        .get_or_init(|| {
            let text = std::env::var("RAWTHREAD_MODEL_FAULT").ok()?;
            let words: Vec<&str> = text.split(' ').collect();
            let [place, operation, kind] = words[..] else {
                panic!("no fault: {text}");
            };
            let (file, line) = match place.split_once(':') {
                Some((file, line)) => (file, Some(line.parse().unwrap())),
                None => (place, None),
            };
            Some(Fault {
                file: file.to_string(),
                line,
                operation: operation.to_string(),
                kind: kind.to_string(),
            })
        })
        .as_ref()
}

/// Whether the futex has this fault.
pub(super) fn futex_fault(operation: &str, kind: &str) -> bool {
    fault().is_some_and(|fault| {
        fault.file == "futex" && fault.operation == operation && fault.kind == kind
    })
}

/// The kind of fault that this operation has, if any.
fn kind_at(place: &Location<'_>, operation: &str, order: Ordering) -> &'static str {
    static SITES: Mutex<Option<BTreeSet<String>>> = Mutex::new(None);
    if order != Relaxed && std::env::var_os("RAWTHREAD_MODEL_SITES").is_some() {
        let site = std::format!(
            "SITE {}:{} {operation} {order:?}",
            place.file(),
            place.line()
        );
        let mut sites = SITES.lock().unwrap();
        if sites.get_or_insert_default().insert(site.clone()) {
            std::println!("{site}");
        }
    }
    match fault() {
        Some(fault)
            if fault.operation == operation
                && place.file().ends_with(&fault.file)
                && fault.line.is_none_or(|line| line == place.line()) =>
        {
            &fault.kind
        }
        _ => "",
    }
}

fn without_acquire(order: Ordering) -> Ordering {
    match order {
        Acquire => Relaxed,
        AcqRel | SeqCst => Release,
        other => other,
    }
}

fn without_release(order: Ordering) -> Ordering {
    match order {
        Release => Relaxed,
        AcqRel | SeqCst => Acquire,
        other => other,
    }
}

fn weakened(kind: &str, order: Ordering) -> Ordering {
    match kind {
        "acquire" => without_acquire(order),
        "release" => without_release(order),
        _ => order,
    }
}

fn of_load(order: Ordering) -> Ordering {
    without_release(order)
}

fn of_store(order: Ordering) -> Ordering {
    without_acquire(order)
}

macro_rules! atomics {
    ($($(<$generic:ident>)? $name:ident: $value:ty),*) => {$(
        /// As core's.
        #[derive(Debug)]
        pub(crate) struct $name$(<$generic>)?(imp::$name$(<$generic>)?);

        #[allow(dead_code, reason = "whichever the protocols use")]
        impl$(<$generic>)? $name$(<$generic>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(imp::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.0.load(weakened(kind_at(Location::caller(), "load", order), order))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                let kind = kind_at(Location::caller(), "store", order);
                self.0.store(value, weakened(kind, order));
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                match kind_at(Location::caller(), "swap", order) {
                    "torn" => self.torn(|_| value, order),
                    kind => self.0.swap(value, weakened(kind, order)),
                }
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                match kind_at(Location::caller(), "compare_exchange", success) {
                    "torn" => {
                        let seen = self.0.load(of_load(success));
                        if seen != current {
                            return Err(seen);
                        }
                        self.0.store(new, of_store(success));
                        Ok(seen)
                    }
                    kind => self.0.compare_exchange(
                        current,
                        new,
                        weakened(kind, success),
                        weakened(kind, failure),
                    ),
                }
            }

            /// Loom's never fails without a reason either.
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut new: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                match kind_at(Location::caller(), "fetch_update", success) {
                    "torn" => {
                        let seen = self.0.load(of_load(success));
                        let new = new(seen).ok_or(seen)?;
                        self.0.store(new, of_store(success));
                        Ok(seen)
                    }
                    kind => self.0.fetch_update(
                        weakened(kind, success),
                        weakened(kind, failure),
                        new,
                    ),
                }
            }

            fn torn(&self, new: impl FnOnce($value) -> $value, order: Ordering) -> $value {
                let seen = self.0.load(of_load(order));
                self.0.store(new(seen), of_store(order));
                seen
            }
        }
    )*};
}

atomics!(AtomicU8: u8, AtomicU32: u32, AtomicU64: u64, AtomicI32: i32, AtomicBool: bool, <T> AtomicPtr: *mut T);

macro_rules! numbers {
    ($($name:ident: $value:ty),*) => {$(
        #[allow(dead_code, reason = "as above")]
        impl $name {
            numbers!(@ $value: fetch_add |seen, by| seen.wrapping_add(by));
            numbers!(@ $value: fetch_sub |seen, by| seen.wrapping_sub(by));
            numbers!(@ $value: fetch_or |seen, by| seen | by);
            numbers!(@ $value: fetch_and |seen, by| seen & by);
        }
    )*};
    (@ $value:ty: $operation:ident |$seen:ident, $by:ident| $new:expr) => {
        #[track_caller]
        pub(crate) fn $operation(&self, $by: $value, order: Ordering) -> $value {
            match kind_at(Location::caller(), stringify!($operation), order) {
                "torn" => self.torn(|$seen| $new, order),
                "look" => {
                    let $seen = self.0.load(of_load(order));
                    if $new == $seen { $seen } else { self.0.$operation($by, order) }
                }
                kind => self.0.$operation($by, weakened(kind, order)),
            }
        }
    };
}

numbers!(AtomicU8: u8, AtomicU32: u32, AtomicU64: u64, AtomicI32: i32);
