//! The contenders that make threads.
#![allow(unsafe_code, reason = "calls pthread functions")]

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;

use super::bare_clone_threads::BareClone;

/// A way to make tasks.
pub(super) trait Contender {
    fn name(&self) -> &'static str;
    /// Makes `count` tasks that end at once, then waits for them all.
    ///
    /// # Errors
    /// One line: the kernel refused.
    fn run(&mut self, count: usize) -> Result<(), String>;
}

/// The name of the contender to which the others are compared.
pub(super) const BARE_CLONE: &str = "bare clone";

/// Every way to make a thread, the bare clone first.
pub(super) fn threads() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(BareClone::default()),
        Box::new(Library),
        Box::new(Warm),
        Box::new(Pthread),
        Box::new(Std),
    ]
}

impl Contender for BareClone {
    fn name(&self) -> &'static str {
        BARE_CLONE
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let mut made = Ok(());
        let mut running = 0;
        while running < count && made.is_ok() {
            made = self.spawn().map_err(|error| error.to_string());
            running += usize::from(made.is_ok());
        }
        for _ in 0..running {
            self.join();
        }
        made
    }
}

struct Library;

impl Contender for Library {
    fn name(&self) -> &'static str {
        "rawthread::spawn"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let threads: Vec<_> = (0..count)
            .map(|number| rawthread::spawn(move || black_box(number)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}

struct Warm;

impl Contender for Warm {
    fn name(&self) -> &'static str {
        "rawthread::warm"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let threads: Vec<_> = (0..count)
            .map(|number| rawthread::warm::spawn(move || black_box(number)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}

/// The C library, with its own stack size.
struct Pthread;

extern "C" fn return_argument(argument: *mut libc::c_void) -> *mut libc::c_void {
    black_box(argument)
}

impl Contender for Pthread {
    fn name(&self) -> &'static str {
        "pthread_create"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let mut threads = Vec::with_capacity(count);
        let mut made = 0;
        while threads.len() < count && made == 0 {
            let mut thread = MaybeUninit::uninit();
            let null = ptr::null_mut();
            // SAFETY: default attributes; the function takes any argument.
            made = unsafe {
                libc::pthread_create(thread.as_mut_ptr(), ptr::null(), return_argument, null)
            };
            if made == 0 {
                // SAFETY: written by the call that succeeded.
                threads.push(unsafe { thread.assume_init() });
            }
        }
        for thread in threads {
            // SAFETY: each handle is joined once.
            unsafe { libc::pthread_join(thread, ptr::null_mut()) };
        }
        match made {
            0 => Ok(()),
            errno => Err(std::io::Error::from_raw_os_error(errno).to_string()),
        }
    }
}

struct Std;

impl Contender for Std {
    fn name(&self) -> &'static str {
        "std::thread::spawn"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let threads: Vec<_> = (0..count)
            .map(|number| std::thread::spawn(move || black_box(number)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}
