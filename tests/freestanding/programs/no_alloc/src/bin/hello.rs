//! Four threads say hello, and the exit status is what they left.
#![no_std]
#![no_main]

use rawthread::start::print;

rawthread::entry!(main);

fn main() -> i32 {
    let threads = [1, 2, 3, 4].map(|number| {
        rawthread::spawn(move || {
            print(format_args!("hello from thread {number}\n"));
            number
        })
    });
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap_or(100))
        .sum()
}
