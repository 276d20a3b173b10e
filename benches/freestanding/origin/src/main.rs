//! As the program `rawthread`, by the crate origin.
#![no_std]
#![no_main]

use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use origin::thread;

static RAN: AtomicUsize = AtomicUsize::new(0);

/// # Safety
/// origin calls it with what the kernel gave the program.
#[unsafe(no_mangle)]
unsafe fn origin_main(argc: usize, argv: *mut *mut u8, _: *mut *mut u8) -> i32 {
    let mut count = 1;
    if argc > 1 {
        // SAFETY: the arguments end in a NUL.
        let text = unsafe { CStr::from_ptr((*argv.add(1)).cast::<c_char>()) };
        count = text
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
    }
    for _ in 0..count {
        // SAFETY: the function takes no arguments and is joined at once.
        let made = unsafe {
            thread::create(
                run,
                &[],
                thread::default_stack_size(),
                thread::default_guard_size(),
            )
        };
        match made {
            // SAFETY: joined once.
            Ok(thread) => unsafe { thread::join(thread) },
            Err(_) => return 1,
        };
    }
    i32::from(RAN.load(Ordering::Relaxed) != count)
}

unsafe fn run(_: &mut [Option<NonNull<c_void>>]) -> Option<NonNull<c_void>> {
    RAN.fetch_add(1, Ordering::Relaxed);
    None
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
