//! What `main.c` asks of threads of this crate: it calls its own functions on them.
#![no_std]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use alloc::string::ToString;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering};

use rawthread::{Builder, JoinSet, Support};

/// The C library's malloc.
struct Malloc;

// SAFETY: aligned_alloc(3) gives such memory; null if there is none.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = layout.align().max(size_of::<usize>());
        // SAFETY: a power of two, and a multiple of it.
        unsafe { libc::aligned_alloc(align, layout.size().next_multiple_of(align)) }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: from `alloc`.
        unsafe { libc::free(block.cast()) }
    }
}

#[global_allocator]
static MALLOC: Malloc = Malloc;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let text = info.to_string();
    // SAFETY: prints bytes and ends the process.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::write(2, c"\n".as_ptr().cast(), 1);
        libc::abort()
    }
}

/// Named by the precompiled `core`, which unwinds nothing here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above. That of libgcc is made for glibc and would not link with another libc.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

type Body = extern "C" fn(*mut c_void) -> c_int;

/// An argument that `main.c` says threads may share.
#[derive(Clone, Copy)]
struct Argument(*mut c_void);

// SAFETY: as `main.c` says.
unsafe impl Send for Argument {}
// SAFETY: as above.
unsafe impl Sync for Argument {}

impl Argument {
    fn give_to(self, body: Body) -> c_int {
        body(self.0)
    }
}

/// Runs `body(argument)` on as many raw threads at once; the sum of what they return.
#[unsafe(no_mangle)]
extern "C" fn raw_run(threads: c_int, body: Body, argument: *mut c_void) -> c_int {
    let argument = Argument(argument);
    let sum = AtomicI32::new(0);
    rawthread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| sum.fetch_add(argument.give_to(body), Ordering::Relaxed));
        }
    });
    sum.into_inner()
}

/// Runs `body(argument)` on a raw thread; what it returns, or -1 with the error printed.
#[unsafe(no_mangle)]
extern "C" fn raw_call(body: Body, argument: *mut c_void) -> c_int {
    let argument = Argument(argument);
    match Builder::new().try_spawn(move || argument.give_to(body)) {
        Ok(handle) => handle.join().unwrap_or(-1),
        Err(error) => {
            say(&error.to_string());
            -1
        }
    }
}

/// Prints the host; 1 for full support, 0 for partial, -1 where there are no threads.
#[unsafe(no_mangle)]
extern "C" fn raw_support() -> c_int {
    match rawthread::host() {
        Ok(host) => {
            say(&host.to_string());
            (host.support() == Support::Full).into()
        }
        Err(error) => {
            say(&error.to_string());
            -1
        }
    }
}

/// As [`raw_call`], on a thread that masks every signal.
#[unsafe(no_mangle)]
extern "C" fn raw_call_masked(body: Body, argument: *mut c_void) -> c_int {
    let argument = Argument(argument);
    let masked = Builder::new().signal_mask(rawthread::SignalSet::all());
    match masked.try_spawn(move || argument.give_to(body)) {
        Ok(handle) => handle.join().unwrap_or(-1),
        Err(error) => {
            say(&error.to_string());
            -1
        }
    }
}

/// Frees the memory of idle threads.
#[unsafe(no_mangle)]
extern "C" fn raw_trim() {
    rawthread::trim();
}

/// Results, names, sets, locks, programs and warm threads, as Rust code without std uses them; whether all is
/// as it should be.
#[unsafe(no_mangle)]
extern "C" fn raw_rust() -> bool {
    let values: alloc::vec::Vec<u64> = (0..100).collect();
    let total = rawthread::spawn(move || values.iter().sum::<u64>()).join();
    let named = Builder::new()
        .name("worker".to_string())
        .try_spawn(|| rawthread::current().name() == Some("worker"))
        .is_ok_and(|handle| handle.join() == Ok(true));
    let mut set = JoinSet::new();
    for number in 0..20u64 {
        set.spawn(move || number * number);
    }
    let mut squares = 0;
    while let Some(square) = set.join_next() {
        squares += square.unwrap_or(0);
    }
    let counter = rawthread::sync::Mutex::new(0);
    rawthread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    *counter.lock() += 1;
                }
            });
        }
    });
    let ran = rawthread::spawn(|| {
        rawthread::process::Command::new("/bin/sh")
            .args(["-c", "exit 7"])
            .status()
            .is_ok_and(|status| status.code() == Some(7))
    });
    let warm = (0..200).all(|number| {
        let task = rawthread::warm::spawn(move || [number; 20]);
        task.join() == Ok([number; 20])
    });
    total == Ok(4950)
        && warm
        && named
        && squares == 2470
        && counter.into_inner() == 4000
        && ran.join() == Ok(true)
}

fn say(text: &str) {
    // SAFETY: prints bytes.
    unsafe {
        libc::write(1, text.as_ptr().cast(), text.len());
        libc::write(1, c"\n".as_ptr().cast(), 1);
    }
}
