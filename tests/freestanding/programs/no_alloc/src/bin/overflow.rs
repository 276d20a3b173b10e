//! A thread that overflows its stack dies on its guard.
#![no_std]
#![no_main]

use rawthread::start::print;

rawthread::entry!(main);

#[inline(never)]
fn deep(level: u64) -> u64 {
    let frame = core::hint::black_box([level; 16]);
    if level == u64::MAX {
        return 0;
    }
    deep(level + 1) + frame[0]
}

fn main() -> i32 {
    let deep_enough = rawthread::Builder::new()
        .stack_size(4 << 20)
        .try_spawn(|| core::hint::black_box([1u8; 900 << 10]).len());
    print(format_args!("{}\n", deep_enough.unwrap().join().unwrap()));
    let _ = rawthread::spawn(|| deep(0)).join();
    print(format_args!("survived\n"));
    0
}
