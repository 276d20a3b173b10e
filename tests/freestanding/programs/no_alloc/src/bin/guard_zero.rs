//! A thread that asked for no guard runs over the end of its stack: by one frame or by many.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use rawthread::Builder;
use rawthread::start::{self, print};

rawthread::entry!(main);

/// More than the stack of a thread that asks for the smallest.
const TOO_MUCH: usize = 80 << 10;

static GO: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn recurse(left: usize) -> u8 {
    let frame = black_box([1u8; 512]);
    if left < frame.len() {
        return 0;
    }
    recurse(left - frame.len()) ^ black_box(&frame)[left % 512]
}

#[inline(never)]
fn large_frame() -> u8 {
    let frame = [black_box(1u8); TOO_MUCH];
    black_box(&frame)[17]
}

fn main() -> i32 {
    let by_recursion = start::args().nth(1) == Some(c"recursion");
    let build = || Builder::new().stack_size(0).guard_size(0);
    let upper = build().try_spawn(move || {
        while !GO.load(Ordering::Acquire) {
            rawthread::yield_now();
        }
        if by_recursion {
            recurse(TOO_MUCH)
        } else {
            large_frame()
        }
    });
    let upper = upper.unwrap();
    // The kernel maps downwards: without a guard these stacks end where others begin.
    let lower = [(); 8].map(|()| build().try_spawn(rawthread::park).unwrap());
    print(format_args!("guard {}\n", upper.stack().guard));
    GO.store(true, Ordering::Release);
    let _ = upper.join();
    print(format_args!("survived beside {}\n", lower.len()));
    0
}
