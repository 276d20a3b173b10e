//! A thread's pidfd becomes ready at the thread's end, and closes when it is dropped.
#![no_std]
#![no_main]

use rawthread::start::print;
use rawthread::{JoinHandle, warm};

rawthread::entry!(main);

unsafe extern "C" {
    fn ask(number: isize, a: usize, b: usize, c: usize, d: usize) -> isize;
}

const PPOLL: isize = if cfg!(target_arch = "x86_64") {
    271
} else {
    73
};
const POLLIN: u16 = 1;
const POLLNVAL: u16 = 32;
const EINVAL: i32 = 22;

#[repr(C)]
struct Poll {
    fd: i32,
    events: u16,
    found: u16,
}

/// What `ppoll` finds within some seconds.
fn poll(fd: i32, seconds: i64) -> u16 {
    let mut wanted = Poll {
        fd,
        events: POLLIN,
        found: 0,
    };
    let time = [seconds, 0];
    let (wanted_at, time_at) = (core::ptr::from_mut(&mut wanted), time.as_ptr());
    // SAFETY: the kernel reads and writes one entry and reads the time.
    let ready = unsafe { ask(PPOLL, wanted_at.addr(), 1, time_at.addr(), 0) };
    assert!(ready >= 0);
    wanted.found
}

/// Whether the kernel has such descriptors.
fn watched(thread: JoinHandle<()>) -> bool {
    let descriptor = match thread.open_pidfd() {
        Ok(descriptor) => descriptor,
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(EINVAL), "{error}");
            thread.thread().unpark();
            thread.join().unwrap();
            return false;
        }
    };
    assert_eq!(poll(descriptor.raw_fd(), 0), 0);
    thread.thread().unpark();
    thread.join().unwrap();
    assert_ne!(poll(descriptor.raw_fd(), 60) & POLLIN, 0);
    let number = descriptor.raw_fd();
    drop(descriptor);
    assert_eq!(poll(number, 0), POLLNVAL);
    true
}

fn main() -> i32 {
    let served = || rawthread::warm::spawn(|| ()).join().unwrap();
    if !watched(rawthread::spawn(rawthread::park)) {
        print(format_args!("SKIP: thread pidfds need Linux 6.9\n"));
        return 0;
    }
    for _ in 0..20 {
        served();
        assert!(watched(warm::spawn(rawthread::park)));
    }
    print(format_args!("pidfds\n"));
    0
}
