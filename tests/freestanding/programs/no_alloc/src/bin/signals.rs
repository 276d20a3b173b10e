//! Signals reach the thread they are sent to, unless it has them masked.
#![no_std]
#![no_main]

use rawthread::start::{self, print};
use rawthread::{Builder, Signal, SignalSet};

rawthread::entry!(main);

const SIGUSR1: i32 = 10;

fn main() -> i32 {
    let signal = Signal::new(SIGUSR1).unwrap();
    let builder = match start::args().nth(1) {
        Some(_) => Builder::new(),
        None => Builder::new().signal_mask(SignalSet::all()),
    };
    let thread = builder.try_spawn(rawthread::park).unwrap();
    thread.signal(signal).unwrap();
    thread.thread().unpark();
    thread.join().unwrap();
    print(format_args!("not delivered\n"));
    0
}
