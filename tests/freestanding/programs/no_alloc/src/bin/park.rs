//! Parked threads wake when they are unparked, and time out when they are not.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

rawthread::entry!(main);

fn main() -> i32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let main = rawthread::current();
    let other = rawthread::spawn(move || {
        for turn in 0..100 {
            while TURN.load(Ordering::Acquire) != 2 * turn + 1 {
                rawthread::park();
            }
            TURN.fetch_add(1, Ordering::Release);
            main.unpark();
        }
    });
    for turn in 0..100 {
        TURN.fetch_add(1, Ordering::Release);
        other.thread().unpark();
        while TURN.load(Ordering::Acquire) != 2 * turn + 2 {
            rawthread::park();
        }
    }
    other.join().unwrap();
    rawthread::park_timeout(Duration::from_millis(1));

    let sleeper = rawthread::spawn(rawthread::park);
    let sleeper = sleeper.join_timeout(Duration::from_millis(5)).unwrap_err();
    sleeper.thread().unpark();
    sleeper.join().unwrap();
    rawthread::start::print(format_args!("{} turns\n", TURN.load(Ordering::Relaxed)));
    0
}
