//! At a limit, of the address space or of tasks, spawn says so (and which it is, with the feature
//! `diagnosis`), and goes on once the limit is lifted.
#![no_std]
#![no_main]

use core::time::Duration;
use rawthread::start::{self, print};
use rawthread::sync::Semaphore;
use rawthread::{Builder, ErrorKind, Limit, Retry};

rawthread::entry!(main);

unsafe extern "C" {
    fn ask(number: isize, a: usize, b: usize, c: usize, d: usize) -> isize;
}

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const GETPID: isize = 39;
    pub const SETRESUID: isize = 117;
    pub const SETRESGID: isize = 119;
    pub const SETGROUPS: isize = 116;
    pub const PRLIMIT64: isize = 302;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const GETPID: isize = 172;
    pub const SETRESUID: isize = 147;
    pub const SETRESGID: isize = 149;
    pub const SETGROUPS: isize = 159;
    pub const PRLIMIT64: isize = 261;
}

/// The tasks that the user may have.
const TASKS: usize = 20;

/// Becomes a user without other processes and without rights, which may have that many tasks.
fn become_a_nobody() -> bool {
    const RLIMIT_NPROC: usize = 6;
    let limit = [TASKS as u64; 2];
    // SAFETY: ids and limits of this process, which has one thread.
    unsafe {
        let id = 2_000_000_000 + ask(number::GETPID, 0, 0, 0, 0) as usize;
        ask(number::SETGROUPS, 0, 0, 0, 0) == 0
            && ask(number::SETRESGID, id, id, id, 0) == 0
            && ask(number::SETRESUID, id, id, id, 0) == 0
            && ask(number::PRLIMIT64, 0, RLIMIT_NPROC, limit.as_ptr().addr(), 0) == 0
    }
}

fn main() -> i32 {
    if start::args().count() == 1 {
        let made = meet(Limit::AddressSpace, "mmap", 4 << 20);
        assert!(made > 1);
    } else if become_a_nobody() {
        let made = meet(Limit::Processes, "clone3", 64 << 10);
        assert_eq!(made, TASKS - 1);
    } else {
        print(format_args!(
            "SKIP: only root can become a user of whom the number of tasks is known\n"
        ));
    }
    0
}

/// Makes threads until that is refused, which has to be by this limit; how many.
fn meet(limit: Limit, step: &str, stack: usize) -> usize {
    static GO: Semaphore = Semaphore::new(0);
    let mut threads = [const { None }; 1000];
    let mut made = 0;
    let error = loop {
        let thread = Builder::new()
            .stack_size(stack)
            .try_spawn(|| GO.acquire().forget());
        match thread {
            Ok(thread) => threads[made] = Some(thread),
            Err(error) => break error,
        }
        made += 1;
    };
    assert_eq!(error.kind(), ErrorKind::Limit);
    let named = cfg!(feature = "diagnosis").then_some(limit);
    assert_eq!(error.limit(), named);
    assert_eq!(error.operation(), named.is_none().then_some(step));
    print(format_args!("{error}\n"));
    GO.release(made as u32);
    for thread in threads.into_iter().flatten() {
        thread.join().unwrap();
    }
    // The kernel counts a thread a moment longer than a join waits.
    let patient = Retry::times(1000, Duration::from_millis(1));
    let next = Builder::new().stack_size(stack).retry(patient).try_spawn(|| 1);
    assert_eq!(next.unwrap().join().unwrap(), 1);
    made
}
