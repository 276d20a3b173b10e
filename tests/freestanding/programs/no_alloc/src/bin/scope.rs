//! Threads and tasks of a scope borrow from the stack of their spawner, and are listed while they live.
#![no_std]
#![no_main]

use rawthread::sync::PiMutex;
use rawthread::{threads, warm};

rawthread::entry!(main);

fn main() -> i32 {
    let mut numbers = [0u32; 8];
    let total = rawthread::scope(|scope| {
        for (index, number) in numbers.iter_mut().enumerate() {
            scope.spawn(move || *number = index as u32 + 1);
        }
        scope.spawn(|| 3).join().unwrap()
    });
    assert_eq!(total, 3);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let mut halves = [0u32; 2];
    warm::scope(|scope| {
        for (half, index) in halves.iter_mut().zip(1..) {
            let task = warm::Builder::new().name_str("half");
            let task = task.try_spawn_scoped(scope, move || {
                let own = rawthread::current().id();
                assert_eq!(threads().filter(|thread| thread.id() == own).count(), 1);
                *half = index;
            });
            assert_eq!(task.unwrap().thread().name(), Some("half"));
        }
    });
    assert_eq!(halves, [1, 2]);
    assert!(threads().all(|thread| thread.is_idle_worker()));

    static COUNT: PiMutex<u32> = PiMutex::new(0);
    rawthread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    *COUNT.lock() += 1;
                }
            });
        }
    });
    assert_eq!(*COUNT.lock(), 4000);
    rawthread::start::print(format_args!("{}\n", numbers.iter().sum::<u32>()));
    0
}
