//! The contenders that make processes.
#![allow(unsafe_code, reason = "fork, clone and posix_spawn")]

use std::io;
use std::ptr;

use super::contenders::Contender;
use crate::syscall;

/// Every way to make a process.
pub(super) fn processes() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Fork),
        Box::new(Clone::new("vfork", libc::CLONE_VM | libc::CLONE_VFORK)),
        Box::new(Clone::new("clone VM", libc::CLONE_VM)),
        Box::new(PosixSpawn),
    ]
}

/// Waits for a child and takes its status.
fn wait(pid: i32) -> Result<(), String> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one number.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error().to_string()),
            _ if status == 0 => return Ok(()),
            _ => return Err(format!("a child ended with status {status:#x}")),
        }
    }
}

/// One child after another: what a process costs does not depend on how many there are at once.
fn one_by_one(count: usize, make: impl Fn() -> i32) -> Result<(), String> {
    for _ in 0..count {
        match make() {
            pid @ 1.. => wait(pid)?,
            _ => return Err(io::Error::last_os_error().to_string()),
        }
    }
    Ok(())
}

struct Fork;

impl Contender for Fork {
    fn name(&self) -> &'static str {
        "fork"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        one_by_one(count, || {
            // SAFETY: the child only exits.
            match unsafe { libc::fork() } {
                0 => syscall::exit(0),
                pid => pid,
            }
        })
    }
}

/// clone on a stack of its own, which a `CLONE_VM` child needs; with `CLONE_VFORK` it is what
/// vfork does, without a frame that returns twice.
struct Clone {
    name: &'static str,
    flags: i32,
    stack: Vec<u128>,
}

impl Clone {
    fn new(name: &'static str, flags: i32) -> Self {
        // u128 for the alignment that the ABI wants of a stack.
        Self {
            name,
            flags: flags | libc::SIGCHLD,
            stack: vec![0; 64 * 1024 / size_of::<u128>()],
        }
    }
}

extern "C" fn leave(_: *mut libc::c_void) -> i32 {
    syscall::exit(0)
}

impl Contender for Clone {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let flags = self.flags;
        let top = self.stack.as_mut_ptr_range().end;
        // SAFETY: the child before this one was waited for, so the stack is unused; the child makes
        // one system call, which does not return.
        one_by_one(count, || unsafe {
            libc::clone(leave, top.cast(), flags, ptr::null_mut())
        })
    }
}

/// With the exec that is its purpose.
struct PosixSpawn;

impl Contender for PosixSpawn {
    fn name(&self) -> &'static str {
        "posix_spawn + exec"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let path = c"/bin/true".as_ptr();
        let words = [path.cast_mut(), ptr::null_mut()];
        for _ in 0..count {
            let mut pid = 0;
            // SAFETY: path and words are strings and a list that ends with null; no attributes.
            let errno = unsafe {
                libc::posix_spawn(
                    &mut pid,
                    path,
                    ptr::null(),
                    ptr::null(),
                    words.as_ptr(),
                    words[1..].as_ptr(),
                )
            };
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno).to_string());
            }
            wait(pid)?;
        }
        Ok(())
    }
}
