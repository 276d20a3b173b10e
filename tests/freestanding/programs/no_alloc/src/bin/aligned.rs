//! Thread-locals, closures and results that are aligned beyond a page.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use rawthread::flags::CloneFlags;
use rawthread::start::print;
use rawthread::{Builder, JoinSet, process, warm};

rawthread::entry!(main);

#[repr(align(65536))]
#[derive(Clone, Copy, Debug)]
struct Wide(u32);

impl Wide {
    fn check(&self) -> u32 {
        let address = black_box(&raw const *self).addr();
        assert!(address.is_multiple_of(65536), "{address:#x}");
        self.0
    }
}

struct Counted(Wide);

static DROPPED: AtomicU32 = AtomicU32::new(0);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(self.0.check(), Ordering::Relaxed);
    }
}

rawthread::local! {
    static LOCAL: Counted = Counted(Wide(1));
}

fn big() -> Builder {
    Builder::new().stack_size(4 << 20)
}

fn main() -> i32 {
    assert_eq!(LOCAL.with(|local| local.0.check()), 1);
    for round in 1..=10 {
        let thread = big().try_spawn(|| LOCAL.with(|local| local.0.check()));
        assert_eq!(thread.unwrap().join().unwrap(), 1);
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
    for number in 0..10 {
        let wide = Wide(number);
        let task = warm::try_spawn(move || Wide(wide.check() + 1)).unwrap();
        assert_eq!(task.join().unwrap().check(), number + 1);
        let thread = big().try_spawn(move || Wide(wide.check() + 2)).unwrap();
        assert_eq!(thread.join().unwrap().check(), number + 2);
        let mut set = JoinSet::new();
        let with = set.spawn_with(big(), move || Wide(wide.check() + 3));
        with.unwrap();
        assert_eq!(set.join_next().unwrap().unwrap().check(), number + 3);
        let flags = CloneFlags::VM | CloneFlags::VFORK;
        let build = process::Builder::new().flags(flags).stack_size(4 << 20);
        // SAFETY: the parent sleeps while the child reads what it was given.
        let child = unsafe { build.spawn(move || wide.check() as i32) };
        let status = child.unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(number as i32));
    }
    print(format_args!("aligned\n"));
    0
}
