//! What the files of each architecture take and return alike.

/// The entry point of a child that [`clone3_and_call`](super::clone3_and_call) or
/// [`clone_and_call`](super::clone_and_call) makes, or of the code that runs below a saved frame.
pub(crate) type ChildEntry = unsafe extern "C" fn(*mut u8) -> !;

/// The symbols that [`weak_libc_symbols`](super::weak_libc_symbols) resolves. The first is always
/// defined and brings its object file into the program.
#[cfg(all(feature = "hosted", target_env = "gnu", target_feature = "crt-static"))]
pub(crate) const LIBC_SYMBOLS: [&core::ffi::CStr; 10] = [
    c"gnu_get_libc_version",
    c"__rseq_offset",
    c"__rseq_size",
    c"__call_tls_dtors",
    c"__libc_thread_freeres",
    c"__asan_init",
    c"__tsan_init",
    c"__msan_init",
    c"__hwasan_init",
    c"__lsan_init",
];

/// The same in a program that may turn out to be static when it runs.
#[cfg(all(
    feature = "hosted",
    target_env = "gnu",
    not(target_feature = "crt-static")
))]
pub(crate) const LIBC_SYMBOLS: [&core::ffi::CStr; 7] = [
    c"__call_tls_dtors",
    c"__libc_thread_freeres",
    c"__asan_init",
    c"__tsan_init",
    c"__msan_init",
    c"__hwasan_init",
    c"__lsan_init",
];

/// The numbers of the program's TLS segment (`PT_TLS`) from which the linker computed the offsets
/// of thread-locals.
#[cfg(not(feature = "hosted"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsSegment {
    /// Length of a thread's block in bytes.
    pub(crate) len: usize,
    /// A power of two.
    pub(crate) align: usize,
    /// The segment's linked address modulo `align`.
    pub(crate) align_remainder: usize,
}
