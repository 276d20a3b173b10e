//! Thread-locals with destructors: the newest is dropped first, and a value that is going is not
//! to be had.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use rawthread::start::print;

rawthread::entry!(main);

/// Says its name when dropped, and what it then finds of itself and of `FIRST`.
struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        let own = match self.0 {
            "first" => FIRST.try_with(|_| ()),
            "second" => SECOND.try_with(|_| ()),
            _ => THIRD.try_with(|_| ()),
        };
        assert!(own.is_err(), "{}", self.0);
        let first = FIRST.try_with(|first| first.0).unwrap_or("gone");
        // A value without destructor is there to the end, and one may be made now.
        COUNT.set(COUNT.get() + 1);
        LATE.try_with(|_| ()).unwrap_or(());
        DROPPED.fetch_add(1, Ordering::Relaxed);
        print(format_args!(
            "{} sees first {first}, {}\n",
            self.0,
            COUNT.get()
        ));
    }
}

struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        print(format_args!("late\n"));
    }
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

rawthread::local! {
    static FIRST: Loud = Loud("first");
    static SECOND: Loud = Loud("second");
    static THIRD: Loud = Loud("third");
    static LATE: Late = const { Late };
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static LARGE: [u64; 1000] = [7; 1000];
    static ALIGNED: Aligned = const { Aligned(9) };
}

#[repr(align(256))]
struct Aligned(u8);

fn touch() {
    FIRST.with(|_| ());
    SECOND.with(|_| ());
    THIRD.with(|_| ());
    assert_eq!(LARGE.with(|large| large.iter().sum::<u64>()), 7000);
    ALIGNED.with(|aligned| {
        assert_eq!(core::ptr::from_ref(aligned).addr() % 256, 0);
        assert_eq!(aligned.0, 9);
    });
}

fn main() -> i32 {
    rawthread::spawn(touch).join().unwrap();
    assert_eq!(
        DROPPED.load(Ordering::Relaxed),
        3,
        "a join comes after the destructors"
    );
    print(format_args!("joined\n"));
    // Every thread begins without values, also on a used slot and many times over.
    for _ in 0..300 {
        let fresh = rawthread::spawn(|| {
            COUNT.set(COUNT.get() + 1);
            LARGE.with(|_| ());
            COUNT.get()
        });
        assert_eq!(fresh.join().unwrap(), 1);
    }
    FIRST.with(|_| ());
    0
}
