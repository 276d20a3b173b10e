//! What the feature `std` adds: what bears std's name has std's type.

extern crate std;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rawthread::{Builder, Error, JoinHandle};

pub fn spawn() -> io::Result<JoinHandle<u32>> {
    let handle: io::Result<JoinHandle<u32>> = Builder::new().name("one".into()).spawn(|| 1);
    handle
}

pub fn cause(error: &io::Error) -> Option<&Error> {
    Error::from_io(error)
}

pub fn join(handle: JoinHandle<u32>) -> std::thread::Result<u32> {
    handle.join()
}

pub fn descriptor(handle: &JoinHandle<u32>) -> Result<OwnedFd, Error> {
    let ours = handle.open_pidfd()?;
    let _ = ours.as_fd();
    let descriptor: OwnedFd = ours.into();
    drop(descriptor);
    handle.pidfd()
}

pub fn parallelism() -> io::Result<std::num::NonZero<usize>> {
    rawthread::available_parallelism()
}
