//! The contenders that make and join threads.
#![allow(unsafe_code, reason = "calls pthread functions")]

use std::collections::VecDeque;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use super::bare_clone_threads::BareClone;
use super::contender::Contender;

/// All contenders: the bare clone first, pooled threads last.
pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = vec![Box::new(BareClone::default())];
    all.extend(spawning());
    all.push(Box::new(Warm {
        name: "warm",
        spawn: rawthread::warm::spawn,
        handles: VecDeque::new(),
    }));
    all.push(Box::new(Warm {
        name: "warm unverified",
        spawn: rawthread::warm::spawn_unverified,
        handles: VecDeque::new(),
    }));
    all
}

/// The contenders that make a kernel thread per spawn and run a closure on it, which a bare clone does
/// not.
pub(crate) fn spawning() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Rawthread::default()),
        Box::new(Pthread::default()),
        Box::new(Std::default()),
    ]
}

/// The bare clone. Its threads run nothing: `work` must have nothing to do.
impl Contender for BareClone {
    fn name(&self) -> &'static str {
        "bare clone"
    }

    fn spawn(&mut self, _work: fn()) {
        BareClone::spawn(self).expect("clone");
    }

    fn join(&mut self) {
        BareClone::join(self);
    }
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

/// This crate's `warm`, which reuses idle kernel threads.
struct Warm {
    name: &'static str,
    spawn: fn(fn()) -> rawthread::JoinHandle<()>,
    handles: VecDeque<rawthread::JoinHandle<()>>,
}

impl Contender for Warm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn spawn(&mut self, work: fn()) {
        self.handles.push_back((self.spawn)(work));
    }

    fn join(&mut self) {
        let handle = self.handles.pop_front().expect("a thread to join");
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

/// `pthread_create` with std's stack size.
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
        // SAFETY: `spawn` made the handle; it left the queue, so it is joined once.
        assert_eq!(unsafe { libc::pthread_join(handle, ptr::null_mut()) }, 0);
    }
}
