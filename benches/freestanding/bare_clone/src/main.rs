//! As the program `rawthread`, by the least that a kernel thread can cost: one bare `clone` onto
//! memory that is mapped already, an exit at once, and a futex wait for the word that the kernel
//! clears. No thread-locals, no closure, no result, nothing that would stop a second thread from
//! using the same stack.
#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

#[path = "../../../common/bare_clone.rs"]
mod bare_clone;

use bare_clone::clone_and_exit;

rawthread::entry!(main);

fn main() -> i32 {
    let argument = rawthread::start::args().nth(1);
    let count: usize = argument
        .and_then(|text| text.to_str().ok()?.parse().ok())
        .unwrap_or(1);
    for _ in 0..count {
        if !make_and_join() {
            return 1;
        }
    }
    0
}

fn make_and_join() -> bool {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static mut STACK: [u128; 64] = [0; 64];
    WORD.store(1, Ordering::Relaxed);
    let top = (&raw mut STACK).cast::<u8>().wrapping_add(64 * 16);
    // SAFETY: the thread before this one is gone, so no thread uses the stack.
    if unsafe { clone_and_exit(top, WORD.as_ptr()) } <= 0 {
        return false;
    }
    while WORD.load(Ordering::Acquire) != 0 {
        // SAFETY: the word is a static.
        unsafe { wait_while_one(WORD.as_ptr()) };
    }
    true
}

/// # Safety
/// The word stays.
#[cfg(target_arch = "x86_64")]
unsafe fn wait_while_one(word: *mut u32) {
    // SAFETY: the kernel only reads the word.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_futex as isize => _,
            in("rdi") word,
            in("rsi") libc::FUTEX_WAIT as usize,
            in("rdx") 1usize,
            in("r10") 0usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

/// # Safety
/// The word stays.
#[cfg(target_arch = "aarch64")]
unsafe fn wait_while_one(word: *mut u32) {
    // SAFETY: the kernel only reads the word.
    unsafe {
        asm!(
            "svc 0",
            inlateout("x0") word => _,
            in("x1") libc::FUTEX_WAIT as usize,
            in("x2") 1usize,
            in("x3") 0usize,
            in("x8") libc::SYS_futex,
            options(nostack),
        );
    }
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    rawthread::start::exit(101)
}
