//! Spawns and joins as many threads as its argument says, one after another.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicUsize, Ordering};

rawthread::entry!(main);

fn main() -> i32 {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let argument = rawthread::start::args().nth(1);
    let count = argument
        .and_then(|text| text.to_str().ok()?.parse().ok())
        .unwrap_or(1);
    for _ in 0..count {
        let thread = rawthread::spawn(|| RAN.fetch_add(1, Ordering::Relaxed));
        if thread.join().is_err() {
            return 1;
        }
    }
    i32::from(RAN.load(Ordering::Relaxed) != count)
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    rawthread::start::exit(101)
}
