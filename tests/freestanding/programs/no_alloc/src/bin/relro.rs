//! What a static PIE had to write while it relocated itself is read-only afterwards.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use rawthread::start::{self, print};

rawthread::entry!(main);

static NUMBER: AtomicU32 = AtomicU32::new(5);
/// An address, which the relocation changes.
static ADDRESS: &AtomicU32 = &NUMBER;

fn main() -> i32 {
    let address = black_box(&raw const ADDRESS);
    // SAFETY: a constant of the program's.
    let number = unsafe { address.read_volatile() };
    number.fetch_add(1, Ordering::Relaxed);
    print(format_args!("{}\n", NUMBER.load(Ordering::Relaxed)));
    if start::args().count() > 1 {
        // SAFETY: this is to end the process; if it does not, the value is as before.
        unsafe { address.cast_mut().write_volatile(number) };
        print(format_args!("survived\n"));
    }
    0
}
