//! A set of threads is joined in the order in which they end.
#![no_std]
#![no_main]

rawthread::entry!(main);

fn main() -> i32 {
    let mut set = rawthread::JoinSet::new();
    for number in 0..20u32 {
        let _ = set.spawn(move || number);
    }
    let mut sum = 0;
    while let Some(result) = set.join_next() {
        sum += result.unwrap();
    }
    assert_eq!(sum, 190);
    let _ = set.spawn(|| panic!("in a set"));
    assert!(set.join_next().unwrap().is_err());
    rawthread::start::print(format_args!("sets\n"));
    0
}
