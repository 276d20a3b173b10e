//! The contenders, behind one trait.
#![allow(unsafe_code, reason = "calls pthread functions")]

use std::collections::VecDeque;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use super::bare_clone_contender::BareClone;

/// A way to make threads. It keeps its handles, so that all ways fit one trait object.
pub(crate) trait Contender {
    /// As printed and as given on the command line of a child process.
    fn name(&self) -> &'static str;
    /// Makes a thread that calls `work`.
    fn spawn(&mut self, work: fn());
    /// Joins the oldest thread that is not joined yet.
    fn join(&mut self);
}

/// All contenders, the bare clone first and `warm` last.
pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = vec![Box::new(BareClone::default())];
    all.extend(spawning());
    all.push(Box::new(Warm::default()));
    all
}

/// The contenders that make each thread anew and can keep it alive, which the floor cannot.
pub(crate) fn spawning() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Rawthread::default()),
        Box::new(Pthread::default()),
        Box::new(Std::default()),
    ]
}

/// This crate.
#[derive(Default)]
struct Rawthread(VecDeque<rawthread::JoinHandle<()>>);

impl Contender for Rawthread {
    fn name(&self) -> &'static str {
        "rawthread"
    }

    fn spawn(&mut self, work: fn()) {
        self.0.push_back(rawthread::spawn(work));
    }

    fn join(&mut self) {
        let handle = self.0.pop_front().expect("a thread to join");
        handle.join().expect("a thread without panic");
    }
}

/// This crate's idle kernel threads, used again.
#[derive(Default)]
struct Warm(VecDeque<rawthread::JoinHandle<()>>);

impl Contender for Warm {
    fn name(&self) -> &'static str {
        "warm"
    }

    fn spawn(&mut self, work: fn()) {
        self.0.push_back(rawthread::warm::spawn(work));
    }

    fn join(&mut self) {
        let handle = self.0.pop_front().expect("a thread to join");
        handle.join().expect("a thread without panic");
    }
}

/// The standard library.
#[derive(Default)]
struct Std(VecDeque<std::thread::JoinHandle<()>>);

impl Contender for Std {
    fn name(&self) -> &'static str {
        "std::thread"
    }

    fn spawn(&mut self, work: fn()) {
        self.0.push_back(std::thread::spawn(work));
    }

    fn join(&mut self) {
        let handle = self.0.pop_front().expect("a thread to join");
        handle.join().expect("a thread without panic");
    }
}

/// The C library, asked directly, with std's stack size.
#[derive(Default)]
struct Pthread(VecDeque<libc::pthread_t>);

const STACK_SIZE: usize = 2 << 20;

impl Contender for Pthread {
    fn name(&self) -> &'static str {
        "pthread"
    }

    fn spawn(&mut self, work: fn()) {
        extern "C" fn start(work: *mut c_void) -> *mut c_void {
            // SAFETY: `spawn` passed a `fn()`.
            let work = unsafe { std::mem::transmute::<*mut c_void, fn()>(work) };
            work();
            ptr::null_mut()
        }
        let mut attributes = MaybeUninit::uninit();
        let mut handle = MaybeUninit::uninit();
        // SAFETY: attributes are used between their init and destroy; a created handle is written.
        let handle = unsafe {
            let attributes = attributes.as_mut_ptr();
            assert_eq!(libc::pthread_attr_init(attributes), 0);
            assert_eq!(libc::pthread_attr_setstacksize(attributes, STACK_SIZE), 0);
            let argument = work as *mut c_void;
            let made = libc::pthread_create(handle.as_mut_ptr(), attributes, start, argument);
            assert_eq!(made, 0, "pthread_create");
            libc::pthread_attr_destroy(attributes);
            handle.assume_init()
        };
        self.0.push_back(handle);
    }

    fn join(&mut self) {
        let handle = self.0.pop_front().expect("a thread to join");
        // SAFETY: a handle of ours, joined once.
        assert_eq!(unsafe { libc::pthread_join(handle, ptr::null_mut()) }, 0);
    }
}
