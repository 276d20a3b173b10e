//! The main thread of a program without libc: its control block.
#![allow(unsafe_code, reason = "sets the thread pointer")]

use core::sync::atomic::Ordering;

use super::{tcb, tls_image};
use crate::error::Error;
use crate::sys::{arch, task};

/// Gives the calling thread, the only one of a program without libc, a control block and TLS of
/// this crate's; from then on threads can be spawned. `start` calls it by itself.
///
/// # Errors
/// ENOMEM; `Unsupported` if the program headers are not found.
///
/// # Safety
/// The process must have one thread, no libc, and no thread-local of any module may have been
/// used: the thread pointer changes.
///
/// ```no_run
/// // SAFETY: the program has just begun: one thread, no libc, no thread-local used.
/// unsafe { rawthread::runtime::init_main_thread() }?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub unsafe fn init_main_thread() -> Result<(), Error> {
    let Some(image) = tls_image::find() else {
        return Err(Error::unsupported(
            "the program headers are not found in the auxiliary vector",
            "Mount /proc, or use the feature `start`.",
            None,
        ));
    };
    let size = tcb::size(&image);
    let page = crate::sys::memory::page_size();
    let block = crate::sys::memory::map(size.next_multiple_of(page))
        .map_err(|errno| Error::from_raw_os_error(errno.number()))?;
    let end = block.as_ptr() as usize + size.next_multiple_of(page);
    let (thread_pointer, _) = tcb::layout_tcb(end, &image);
    let thread_pointer = thread_pointer as *mut u8;
    // SAFETY: a fresh mapping as large as the block, which is never unmapped; the caller says that
    // nothing relies on the old thread pointer.
    unsafe {
        tcb::write(thread_pointer, &image);
        arch::set_thread_pointer(thread_pointer);
    }
    // SAFETY: just written.
    let data = unsafe { tcb::data_of(thread_pointer) };
    data.tid.store(task::tid(), Ordering::Relaxed);
    tls_image::set_initialized();
    Ok(())
}
