//! Processes: a fork, and a child that shares memory while its parent sleeps.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Fork, fork};
use rawthread::start::{self, print};

rawthread::entry!(main);

fn main() -> i32 {
    static WORD: AtomicU32 = AtomicU32::new(0);
    // SAFETY: the parent sleeps while the child stores a number.
    let child = unsafe {
        Builder::new()
            .flags(CloneFlags::VM | CloneFlags::VFORK)
            .spawn(|| {
                WORD.store(5, Ordering::Relaxed);
                6
            })
    };
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(6));
    assert_eq!(WORD.load(Ordering::Relaxed), 5);

    // A copy has none of the parent's idle threads.
    assert_eq!(rawthread::warm::spawn(|| 3).join().unwrap(), 3);
    // SAFETY: no other thread is in the middle of anything.
    let copy = unsafe { Builder::new().spawn(|| rawthread::warm::spawn(|| 4).join().unwrap()) };
    let mut copy = copy.unwrap();
    let status = copy.wait_timeout(Duration::from_secs(20)).unwrap();
    copy.kill().unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(4));

    rawthread::spawn(|| ()).join().unwrap();
    // SAFETY: no other thread is in the middle of anything.
    match unsafe { fork() }.unwrap() {
        Fork::Parent(mut child) => {
            assert_eq!(child.wait().unwrap().code(), Some(9));
            assert_eq!(WORD.load(Ordering::Relaxed), 5);
            print(format_args!("children\n"));
            0
        }
        Fork::Child => {
            WORD.store(7, Ordering::Relaxed);
            // Threads work in the child as they did in the parent.
            let thread = rawthread::spawn(|| WORD.load(Ordering::Relaxed) + 2);
            start::exit(thread.join().unwrap() as i32)
        }
    }
}
