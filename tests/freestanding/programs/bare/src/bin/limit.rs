//! At a limit of the address space spawn says so (and which it is, with the feature `diagnosis`), and goes on once there is room again.
#![no_std]
#![no_main]

use rawthread::start::print;
use rawthread::sync::Semaphore;
use rawthread::{Builder, ErrorKind, Limit};

rawthread::entry!(main);

fn main() -> i32 {
    static GO: Semaphore = Semaphore::new(0);
    let mut threads = [const { None }; 1000];
    let mut made = 0;
    let error = loop {
        let thread = Builder::new()
            .stack_size(4 << 20)
            .spawn(|| GO.acquire().forget());
        match thread {
            Ok(thread) => threads[made] = Some(thread),
            Err(error) => break error,
        }
        made += 1;
    };
    assert_eq!(error.kind(), ErrorKind::Limit);
    let named = cfg!(feature = "diagnosis").then_some(Limit::AddressSpace);
    assert_eq!(error.limit(), named);
    assert_eq!(error.step(), named.is_none().then_some("mmap"));
    print(format_args!("{error}\n"));
    GO.release(made as u32);
    for thread in threads.into_iter().flatten() {
        thread.join().unwrap();
    }
    assert!(made > 1);
    let next = Builder::new().stack_size(4 << 20).spawn(|| 1);
    assert_eq!(next.unwrap().join().unwrap(), 1);
    0
}
