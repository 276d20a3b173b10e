//! Hello from four threads, in a static program without libc.
#![no_std]
#![no_main]

use rawthread::start::{self, Stream};

rawthread::entry!(main);

fn main() -> i32 {
    let lines = [
        "hello from 1\n",
        "hello from 2\n",
        "hello from 3\n",
        "hello from 4\n",
    ];
    let threads = lines
        .map(|line| rawthread::spawn(|| start::write(Stream::Stdout, line.as_bytes()).is_ok()));
    let written = threads.map(|thread| thread.join() == Ok(true));
    i32::from(written != [true; 4])
}

/// Where a message matters more than some kilobytes, use the feature `panic-thread`.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    start::exit(101)
}
