//! C code sees thread-locals of its own in every thread: initialised, zeroed, aligned, fresh.
#![no_std]
#![no_main]

use rawthread::start;

rawthread::entry!(main);

unsafe extern "C" {
    safe fn c_check(expected: i32) -> i32;
    safe fn c_spoil(value: i32);
    safe fn c_address() -> usize;
    safe fn c_constructed() -> i32;
    safe fn c_canary() -> usize;
    safe fn c_smash(len: i32) -> i32;
}

fn main() -> i32 {
    if start::args().any(|argument| argument == c"smash") {
        return c_smash(64);
    }
    assert_eq!(c_constructed(), 1, "constructors get argc, argv, envp");
    assert_eq!(c_check(7), 0, "the main thread's, after the constructor");
    c_spoil(1);
    let (address, canary) = (c_address(), c_canary());
    assert!(canary != 0 && canary & 0xff == 0, "the canary is random");
    // A thread after another runs on the same slot, whose thread-locals must be fresh again.
    for round in 0..4 {
        let live = [0, 1, 2, 3].map(|number| {
            rawthread::spawn(move || {
                let wrong = c_check(42);
                c_spoil(number);
                rawthread::yield_now();
                (wrong, c_address(), c_canary())
            })
        });
        for thread in live {
            let (wrong, own, canary_there) = thread.join().unwrap();
            assert_eq!(wrong, 0, "round {round}");
            assert_ne!(own, address);
            assert_eq!(canary_there, canary);
        }
    }
    assert_eq!(c_address(), address);
    start::print(format_args!("C's thread-locals are right\n"));
    0
}
