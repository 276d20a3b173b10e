//! Four threads say hello, in as few bytes as that takes.
#![no_std]
#![no_main]

use rawthread::start::write;

rawthread::entry!(main);

fn main() -> i32 {
    rawthread::scope(|scope| {
        for line in [
            "hello from 1\n",
            "hello from 2\n",
            "hello from 3\n",
            "hello from 4\n",
        ] {
            let thread = move || drop(write(1, line.as_bytes()));
            drop(rawthread::Builder::new().spawn_scoped(scope, thread));
        }
    });
    0
}
