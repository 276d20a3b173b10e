//! As many threads as the argument says, alive at once; then the program says so and waits.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicUsize, Ordering};
use rawthread::start::{self, print};

rawthread::entry!(main);

static RUNNING: AtomicUsize = AtomicUsize::new(0);

fn live() {
    RUNNING.fetch_add(1, Ordering::Relaxed);
    loop {
        rawthread::park();
    }
}

fn main() -> i32 {
    let argument = start::args().nth(1);
    let count = argument
        .and_then(|text| text.to_str().ok()?.parse().ok())
        .unwrap_or(1);
    for _ in 0..count {
        drop(rawthread::spawn(live));
    }
    while RUNNING.load(Ordering::Relaxed) < count {
        rawthread::yield_now();
    }
    print(format_args!("live\n"));
    loop {
        rawthread::park();
    }
}
