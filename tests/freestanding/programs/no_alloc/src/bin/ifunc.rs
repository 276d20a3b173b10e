//! C code with an ifunc, which `start` does not resolve.
#![no_std]
#![no_main]

use rawthread::start::print;

rawthread::entry!(main);

unsafe extern "C" {
    safe fn answer() -> i32;
}

fn main() -> i32 {
    print(format_args!("{}\n", answer()));
    0
}
