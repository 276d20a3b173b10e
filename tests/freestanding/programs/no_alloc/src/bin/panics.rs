//! A panic ends its thread and no other, unless no thread could go on after it.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rawthread::Builder;
use rawthread::start::{self, print};

rawthread::entry!(main);

fn main() -> i32 {
    match start::args().nth(1).map(|argument| argument.to_bytes()) {
        Some(b"main") => panic!("of {}", "main"),
        Some(b"memory") => without_memory(),
        Some(b"scope") => rawthread::scope(|scope| {
            let _ = scope.spawn(|| panic!("in a scope")).join();
            0
        }),
        Some(b"twice") => exit_of(|| panic!("{}", Twice)),
        Some(b"destructor") => exit_of(|| BAD.with(|_| ())),
        _ => in_threads(),
    }
}

unsafe extern "C" {
    fn ask(number: isize, a: usize, b: usize, c: usize, d: usize) -> isize;
}

/// Panics in the main thread when nothing more can be mapped.
fn without_memory() -> i32 {
    const SETRLIMIT: isize = if cfg!(target_arch = "x86_64") {
        160
    } else {
        164
    };
    const RLIMIT_AS: usize = 9;
    let nothing = [0u64; 2];
    // SAFETY: the kernel reads two numbers.
    let asked = unsafe { ask(SETRLIMIT, RLIMIT_AS, nothing.as_ptr().addr(), 0, 0) };
    panic!("{asked} without memory")
}

fn exit_of(closure: fn()) -> i32 {
    i32::from(rawthread::spawn(closure).join().is_err())
}

/// Panics while it is printed.
struct Twice;

impl fmt::Display for Twice {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("again")
    }
}

/// Tells whether the thread is panicking when it is printed.
struct Asks;

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ASKED.store(rawthread::panicking(), Ordering::Relaxed);
        f.write_str("asked")
    }
}

static ASKED: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicU32 = AtomicU32::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("in a destructor")
    }
}

rawthread::local! {
    static BAD: Bad = const { Bad };
    static COUNTED: Counted = const { Counted };
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

fn in_threads() -> i32 {
    // Nothing of the thread's is dropped, and its frames stay for the holder of a reference.
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let thread = Builder::new().name_str("unlucky").try_spawn(|| {
        let kept = Counted;
        COUNTED.with(|_| ());
        let frame = AtomicU32::new(5);
        SEEN.store(1, Ordering::Relaxed);
        let address = &raw const frame as usize;
        // SAFETY: the frame is never left: this thread panics in it.
        let reader = unsafe {
            Builder::new().try_spawn_unchecked(move || {
                while SEEN.load(Ordering::Acquire) < 2 {
                    rawthread::yield_now();
                }
                (*(address as *const AtomicU32)).load(Ordering::Relaxed)
            })
        };
        READER.lock().replace(reader.unwrap());
        if SEEN.load(Ordering::Relaxed) == 1 {
            panic!("message {}", 1 + 1);
        }
        drop(kept);
        frame.into_inner()
    });
    let thread = thread.unwrap();
    assert!(thread.join().is_err());
    // Were the slot used again, these would overwrite that frame.
    for number in 0..50 {
        let next = rawthread::spawn(move || {
            let mut frames = [number; 1000];
            core::hint::black_box(&mut frames);
            NUMBER.set(NUMBER.get() + 1);
            NUMBER.get()
        });
        assert_eq!(next.join().unwrap(), 1);
    }
    SEEN.store(2, Ordering::Release);
    let reader = READER.lock().take().unwrap();
    assert_eq!(reader.join().unwrap(), 5);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 0);

    // Many panics, joined and not, one after another.
    for number in 0..20 {
        let thread = rawthread::spawn(move || -> [u64; 100] {
            if number < 100 {
                panic!("{}", Asks)
            }
            [0; 100]
        });
        if number % 2 == 0 {
            assert!(thread.join().is_err());
        } else {
            // The process must not end before the message is out.
            while !thread.is_finished() {
                rawthread::yield_now();
            }
        }
    }
    assert!(ASKED.load(Ordering::Relaxed) && !rawthread::panicking());
    print(format_args!(
        "{}\n",
        rawthread::spawn(|| 6 * 7).join().unwrap()
    ));
    0
}

static READER: rawthread::sync::Mutex<Option<rawthread::JoinHandle<u32>>> =
    rawthread::sync::Mutex::new(None);
