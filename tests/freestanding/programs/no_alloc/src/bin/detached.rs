//! Thousands of threads that are not joined.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

rawthread::entry!(main);

const THREADS: u32 = 3000;

fn main() -> i32 {
    static DONE: AtomicU32 = AtomicU32::new(0);
    for _ in 0..THREADS {
        drop(rawthread::spawn(|| DONE.fetch_add(1, Ordering::Relaxed)));
    }
    while DONE.load(Ordering::Relaxed) < THREADS {
        rawthread::yield_now();
    }
    rawthread::start::print(format_args!("{THREADS}\n"));
    0
}
