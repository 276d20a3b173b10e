//! Threads of a scope borrow from the stack of their spawner.
#![no_std]
#![no_main]

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
    rawthread::start::print(format_args!("{}\n", numbers.iter().sum::<u32>()));
    0
}
