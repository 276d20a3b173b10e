//! What runs before `main` and after it, as C has it: `.preinit_array`, `.init_array`, `.fini_array`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use rawthread::process::{Builder, Fork, fork};
use rawthread::start::{self, print};

rawthread::entry!(main);

type Function = extern "C" fn();

#[used]
#[unsafe(link_section = ".preinit_array")]
static FIRST_OF_ALL: Function = {
    extern "C" fn first_of_all() {
        print(format_args!("preinit\n"));
    }
    first_of_all
};

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE: Function = {
    extern "C" fn before() {
        print(format_args!("init\n"));
    }
    before
};

/// The last of the array is called first.
#[used]
#[unsafe(link_section = ".fini_array")]
static AFTER: [Function; 2] = {
    extern "C" fn last() {
        print(format_args!("fini 0\n"));
    }
    extern "C" fn first() {
        print(format_args!("fini 1\n"));
        match AT_END.load(Ordering::Relaxed) {
            // The rest is left out: it may rely on what this one did not finish.
            EXIT => start::exit(8),
            // Time for the other thread to come too.
            WAIT => rawthread::sleep(Duration::from_millis(100)),
            FORK => {
                // SAFETY: no other thread is in the middle of anything.
                if let Ok(Fork::Parent(mut child)) = unsafe { fork() } {
                    let code = child.wait().ok().and_then(|status| status.code());
                    print(format_args!("child {code:?}\n"));
                } else {
                    start::exit(9);
                }
            }
            _ => {}
        }
    }
    [last, first]
};

static AT_END: AtomicU32 = AtomicU32::new(0);
const EXIT: u32 = 1;
const WAIT: u32 = 2;
const FORK: u32 = 3;

struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        print(format_args!("local\n"));
    }
}

rawthread::local!(static LOUD: Loud = Loud);

fn main() -> i32 {
    print(format_args!("main\n"));
    LOUD.with(|_| ());
    match start::args()
        .nth(1)
        .map_or(&b""[..], |case| case.to_bytes())
    {
        b"exit" => start::exit(3),
        b"thread" => {
            let _ = rawthread::spawn(|| start::exit(4)).join();
        }
        b"again" => AT_END.store(EXIT, Ordering::Relaxed),
        b"two" => {
            AT_END.store(WAIT, Ordering::Relaxed);
            let _other = rawthread::spawn(|| start::exit(5));
            start::exit(5)
        }
        b"fork" => AT_END.store(FORK, Ordering::Relaxed),
        b"forked" => {
            // SAFETY: no other thread is in the middle of anything.
            if let Fork::Parent(mut child) = unsafe { fork() }.unwrap() {
                assert_eq!(child.wait().unwrap().code(), Some(0));
                print(format_args!("parent\n"));
            }
        }
        b"vm" => {
            use rawthread::flags::CloneFlags;
            let flags = CloneFlags::VM | CloneFlags::VFORK;
            // SAFETY: the parent sleeps while the child exits.
            let child = unsafe { Builder::new().flags(flags).spawn(|| start::exit(6)) };
            assert_eq!(child.unwrap().wait().unwrap().code(), Some(6));
            print(format_args!("parent\n"));
        }
        b"panic" => panic!("at the end"),
        _ => {}
    }
    0
}
