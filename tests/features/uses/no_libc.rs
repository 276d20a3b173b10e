//! What every build for programs without a C library has.

/// # Safety
/// That of `init_main_thread`.
pub unsafe fn init() -> Result<(), rawthread::Error> {
    // SAFETY: passed on.
    unsafe { rawthread::runtime::init_main_thread() }
}
