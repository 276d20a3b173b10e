//! Built for a processor with SVE: a compiler may keep its registers over a system call only if the
//! kernel does, and Linux on AArch64 does not.

use std::hint::black_box;

fn main() {
    let mut numbers = [1.0f64; 64];
    let (factor, rounds) = (black_box(1.0), black_box(10));
    for _ in 0..rounds {
        for number in black_box(&mut numbers) {
            *number = *number * factor + 1.0;
        }
        rawthread::yield_now();
    }
    assert_eq!(numbers, [11.0; 64]);
}
