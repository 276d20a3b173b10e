//! 64 threads that touch 1 MiB each and end, joined or detached; then the program says so and waits.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use rawthread::start::{self, print};

rawthread::entry!(main);

const THREADS: u32 = 64;
static TOUCHED: AtomicU32 = AtomicU32::new(0);

/// Returns when all are alive with their MiB.
fn touch() {
    black_box([1u8; 1 << 20]);
    TOUCHED.fetch_add(1, Ordering::Relaxed);
    while TOUCHED.load(Ordering::Relaxed) < THREADS {
        rawthread::yield_now();
    }
}

fn main() -> i32 {
    let asked = |word: &str| start::args().any(|argument| argument.to_bytes() == word.as_bytes());
    if asked("bound") {
        rawthread::set_idle_memory(4 << 20);
    }
    for _ in 0..3 {
        TOUCHED.store(0, Ordering::Relaxed);
        let mut handles = [const { None }; THREADS as usize];
        for handle in &mut handles {
            *handle = Some(rawthread::spawn(touch));
        }
        for handle in handles.into_iter().flatten() {
            if asked("detached") {
                drop(handle);
            } else {
                let _ = handle.join();
            }
        }
        while TOUCHED.load(Ordering::Relaxed) < THREADS {
            rawthread::yield_now();
        }
    }
    print(format_args!("idle\n"));
    loop {
        rawthread::park();
    }
}
