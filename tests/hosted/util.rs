//! What the tests share.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};

use crate::common::{CC, Directory, stdout_stderr};

/// Whether all that works in a pthread works in a thread of this crate; says so where it does not.
pub(crate) fn full() -> bool {
    let host = rawthread::host().unwrap();
    let full = host.support() != rawthread::Support::Partial;
    if !full {
        println!("SKIP: {host}");
    }
    full
}

/// Whether this process may change its ids; says so where it may not.
pub(crate) fn root() -> bool {
    // SAFETY: asks.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("SKIP: changing ids needs root");
    }
    root
}

/// A shared library of C source, opened; `None` where that cannot be.
pub(crate) fn library(
    dir: &Directory,
    name: &str,
    source: &str,
    flags: &[&str],
) -> Option<Library> {
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program does not load libraries");
        return None;
    }
    let text = dir.path().join(format!("{name}.c"));
    let object = dir.path().join(format!("{name}.so"));
    std::fs::write(&text, source).unwrap();
    let built = Command::new(CC)
        .args(["-shared", "-fPIC", "-O1"])
        .args(flags)
        .arg("-o")
        .args([&object, &text])
        .output();
    match built {
        Ok(output) => assert!(output.status.success(), "{}", stdout_stderr(&output).1),
        Err(error) => {
            println!("SKIP: {CC}: {error}");
            return None;
        }
    }
    Some(Library::open(&object))
}

/// A shared library that is closed with the value.
pub(crate) struct Library(usize);

impl Library {
    pub(crate) fn open(path: &Path) -> Self {
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the tests' libraries may be loaded anywhere.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{}", path.display());
        Self(handle as usize)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` must be its type: a plain `extern "C"` function pointer.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &str) -> F {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the handle is open.
        let address = unsafe { libc::dlsym(self.0 as *mut _, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        // SAFETY: as the caller vouches.
        unsafe { std::mem::transmute_copy(&address) }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: opened by `open`.
        assert_eq!(unsafe { libc::dlclose(self.0 as *mut _) }, 0);
    }
}

/// Runs `closure` on a thread of this crate to its end.
pub(crate) fn on_raw<T: Send + 'static>(closure: impl FnOnce() -> T + Send + 'static) -> T {
    rawthread::spawn(closure).join().unwrap()
}

/// What `tell` returns in each of `count` threads of this crate that run at the same time.
pub(crate) fn told_by_live_threads<T>(count: usize, tell: fn() -> T) -> HashSet<T>
where
    T: Eq + std::hash::Hash + Send + 'static,
{
    let gate = Arc::new(Barrier::new(count));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let gate = gate.clone();
            rawthread::spawn(move || {
                // A panic must not keep the others from the gate.
                let told = std::panic::catch_unwind(tell);
                gate.wait();
                told.unwrap()
            })
        })
        .collect();
    let told = threads.into_iter().map(|thread| thread.join().unwrap());
    told.collect()
}

/// A value whose address other threads may use; the test says why that is sound.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: the tests pass addresses of things that libc made for sharing.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T: 'static> Shared<T> {
    /// Never freed.
    pub(crate) fn new(value: T) -> Self {
        Self(std::ptr::from_mut(crate::common::keep(value)))
    }

    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
