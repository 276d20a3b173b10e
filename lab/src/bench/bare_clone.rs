//! The floor: one clone and one wait on a word, with nothing around them. No library that makes a
//! kernel thread does less, and none that stops here is of use: no result, no guard, no name,
//! no thread-locals.
#![allow(unsafe_code, reason = "threads by bare clone")]

use std::sync::atomic::{AtomicI32, Ordering};

use crate::syscall;

/// Bytes of stack, and of thread-local storage on either side of the thread pointer.
const STACK: usize = 64 * 1024;
const TLS: usize = 64 * 1024;

const FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// Memory for one thread at a time, used again and again.
///
/// The word is the tid from before `clone` returns until the kernel clears it at the thread's end:
/// only then may the slot be used again.
pub(super) struct Slot {
    stack: usize,
    tls: usize,
    word: &'static AtomicI32,
}

extern "C" fn leave(_: *mut libc::c_void) -> i32 {
    syscall::exit(0)
}

impl Slot {
    pub(super) fn new() -> Self {
        // u128 for the alignment that the ABI wants of a stack.
        let stack = Box::leak(vec![0u128; STACK / 16].into_boxed_slice());
        let tls = Box::leak(vec![0u128; 2 * TLS / 16].into_boxed_slice());
        let pointer = tls.as_mut_ptr() as usize + TLS;
        // SAFETY: in the middle of the storage; x86-64 finds its control block through this word.
        unsafe { (pointer as *mut usize).write(pointer) };
        Self {
            stack: stack.as_mut_ptr_range().end as usize,
            tls: pointer,
            word: Box::leak(Box::new(AtomicI32::new(0))),
        }
    }

    /// Makes a thread that ends at once.
    ///
    /// # Errors
    /// One line: the kernel refused.
    pub(super) fn spawn(&self) -> Result<(), String> {
        let word = self.word.as_ptr();
        // SAFETY: nobody stands on the stack, as `join` was called since; stack, storage and word
        // are never freed; the thread makes one system call, which does not return.
        let tid = unsafe {
            libc::clone(
                leave,
                self.stack as *mut libc::c_void,
                FLAGS,
                std::ptr::null_mut(),
                word,
                self.tls as *mut libc::c_void,
                word,
            )
        };
        if tid < 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        Ok(())
    }

    /// Waits until the thread is off its stack.
    pub(super) fn join(&self) {
        loop {
            // Acquire: pairs with the kernel's store at the thread's end.
            let tid = self.word.load(Ordering::Acquire);
            if tid == 0 {
                return;
            }
            let address = self.word.as_ptr() as usize;
            // SAFETY: FUTEX_WAIT on a word that is never freed; shared, as the kernel's wake is.
            let _ =
                unsafe { syscall::syscall(libc::SYS_futex, [address, 0, tid as usize, 0, 0, 0]) };
        }
    }
}
