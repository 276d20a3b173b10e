//! What the feature `alloc` adds.

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use rawthread::{Builder, Error, JoinHandle, JoinSet};

pub fn spawn(name: &str) -> Result<JoinHandle<()>, Error> {
    let builder: Builder = Builder::new().name(String::from(name));
    let builder: Builder = builder.name(name.into());
    builder.before_start(|| Ok::<(), Error>(())).try_spawn(|| ())
}

pub fn all(set: &mut JoinSet<u32>) -> Vec<rawthread::Result<u32>> {
    set.join_all()
}

pub fn program() -> Result<rawthread::process::Child, Error> {
    rawthread::process::Command::new("true").spawn()
}
