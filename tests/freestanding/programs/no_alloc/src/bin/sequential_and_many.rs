//! A thousand threads one after another, and a few hundred at once.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};
use rawthread::sync::Barrier;

rawthread::entry!(main);

const AT_ONCE: usize = 200;

fn main() -> i32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for number in 0..1000u64 {
        let thread = rawthread::spawn(move || {
            COUNT.fetch_add(1, Ordering::Relaxed);
            number * number
        });
        assert_eq!(thread.join().unwrap(), number * number);
    }
    assert_eq!(COUNT.load(Ordering::Relaxed), 1000);

    static ALL: Barrier = Barrier::new(AT_ONCE + 1);
    let mut threads = [const { None }; AT_ONCE];
    for (number, thread) in threads.iter_mut().enumerate() {
        *thread = Some(
            rawthread::Builder::new()
                .stack_size(32 * 1024)
                .name_str("one of many")
                .try_spawn(move || {
                    ALL.wait();
                    (number, rawthread::current().name() == Some("one of many"))
                })
                .unwrap(),
        );
    }
    ALL.wait();
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.unwrap().join().unwrap(), (number, true));
    }
    rawthread::start::print(format_args!("1000 and {AT_ONCE}\n"));
    0
}
