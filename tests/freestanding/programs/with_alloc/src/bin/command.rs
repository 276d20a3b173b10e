//! Programs are run from a program without libc, with an allocator of its own.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use rawthread::process::{Command, Stdio};
use rawthread::start;

rawthread::entry!(main);

/// Gives out a fixed store from one end to the other and takes nothing back.
struct Bump;

const STORE: usize = 1 << 20;
static USED: AtomicUsize = AtomicUsize::new(0);
static mut MEMORY: [u128; STORE / 16] = [0; STORE / 16];

// SAFETY: no byte is given out twice.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let len = layout.size() + layout.align();
        let at = USED.fetch_add(len, Ordering::Relaxed);
        if at + len > STORE {
            return core::ptr::null_mut();
        }
        let place = (&raw mut MEMORY).cast::<u8>().wrapping_add(at);
        place.wrapping_add(place.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Bump = Bump;

fn main() -> i32 {
    let output = Command::new("/bin/sh")
        .args(["-c", "echo to $NAME; exit 4"])
        .env("NAME", "you")
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(output.stdout, b"to you\n");
    let missing = Command::new("/nonexistent").spawn().unwrap_err();
    assert_eq!(missing.operation(), Some("execve"));

    // `start` ignores SIGPIPE; a child finds it as programs expect it.
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -PIPE $$"])
        .status();
    assert_eq!(status.unwrap().signal(), Some(13));

    // Names of any length and values on the heap.
    let name: String = core::iter::repeat_n('n', 200).collect();
    let thread = rawthread::Builder::new().name(name.clone()).try_spawn(|| {
        let name = rawthread::current();
        name.name().map(|name| Vec::from(name.as_bytes()))
    });
    assert_eq!(thread.unwrap().join().unwrap().unwrap(), name.as_bytes());

    // Tasks of `warm` have their packets on the heap, too.
    let before = USED.load(Ordering::Relaxed);
    for number in 0..100u64 {
        let task = rawthread::warm::spawn(move || [number; 10]);
        assert_eq!(task.join().unwrap(), [number; 10]);
    }
    assert!(USED.load(Ordering::Relaxed) >= before + 8000);
    start::print(format_args!("commands\n"));
    0
}
