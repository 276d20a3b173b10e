//! Weak references to functions and variables of libc that a program may lack.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;

/// Writes the addresses of [`LIBC_SYMBOLS`](super::types::LIBC_SYMBOLS) into `addresses`, 0 for those that
/// the program lacks. By weak references: a static program has no symbol table to look them up in.
#[cfg(all(feature = "hosted", target_env = "gnu", target_feature = "crt-static"))]
#[unsafe(naked)]
pub(crate) extern "C" fn weak_libc_symbols(
    addresses: &mut [usize; super::types::LIBC_SYMBOLS.len()],
) {
    naked_asm!(
        "hint #34",
        "adrp x1, :got:gnu_get_libc_version",
        "ldr x1, [x1, :got_lo12:gnu_get_libc_version]",
        "str x1, [x0, 0]",
        ".weak __rseq_offset",
        "adrp x1, :got:__rseq_offset",
        "ldr x1, [x1, :got_lo12:__rseq_offset]",
        "str x1, [x0, 8]",
        ".weak __rseq_size",
        "adrp x1, :got:__rseq_size",
        "ldr x1, [x1, :got_lo12:__rseq_size]",
        "str x1, [x0, 16]",
        ".weak __call_tls_dtors",
        "adrp x1, :got:__call_tls_dtors",
        "ldr x1, [x1, :got_lo12:__call_tls_dtors]",
        "str x1, [x0, 24]",
        ".weak __libc_thread_freeres",
        "adrp x1, :got:__libc_thread_freeres",
        "ldr x1, [x1, :got_lo12:__libc_thread_freeres]",
        "str x1, [x0, 32]",
        ".weak __asan_init",
        "adrp x1, :got:__asan_init",
        "ldr x1, [x1, :got_lo12:__asan_init]",
        "str x1, [x0, 40]",
        ".weak __tsan_init",
        "adrp x1, :got:__tsan_init",
        "ldr x1, [x1, :got_lo12:__tsan_init]",
        "str x1, [x0, 48]",
        ".weak __msan_init",
        "adrp x1, :got:__msan_init",
        "ldr x1, [x1, :got_lo12:__msan_init]",
        "str x1, [x0, 56]",
        ".weak __hwasan_init",
        "adrp x1, :got:__hwasan_init",
        "ldr x1, [x1, :got_lo12:__hwasan_init]",
        "str x1, [x0, 64]",
        ".weak __lsan_init",
        "adrp x1, :got:__lsan_init",
        "ldr x1, [x1, :got_lo12:__lsan_init]",
        "str x1, [x0, 72]",
        "ret",
    )
}

/// The same in a program that was not compiled as a static one, but may be linked as one. Those of
/// libc are hidden: a dynamic program or library has 0 for them, and does not ask the loader for private
/// ones. A sanitizer that is linked into the program need not show its symbols to the loader.
#[cfg(all(
    feature = "hosted",
    target_env = "gnu",
    not(target_feature = "crt-static")
))]
#[unsafe(naked)]
pub(crate) extern "C" fn weak_libc_symbols(
    addresses: &mut [usize; super::types::LIBC_SYMBOLS.len()],
) {
    naked_asm!(
        "hint #34",
        ".weak __call_tls_dtors",
        ".hidden __call_tls_dtors",
        "adrp x1, :got:__call_tls_dtors",
        "ldr x1, [x1, :got_lo12:__call_tls_dtors]",
        "str x1, [x0, 0]",
        ".weak __libc_thread_freeres",
        ".hidden __libc_thread_freeres",
        "adrp x1, :got:__libc_thread_freeres",
        "ldr x1, [x1, :got_lo12:__libc_thread_freeres]",
        "str x1, [x0, 8]",
        ".weak __asan_init",
        "adrp x1, :got:__asan_init",
        "ldr x1, [x1, :got_lo12:__asan_init]",
        "str x1, [x0, 16]",
        ".weak __tsan_init",
        "adrp x1, :got:__tsan_init",
        "ldr x1, [x1, :got_lo12:__tsan_init]",
        "str x1, [x0, 24]",
        ".weak __msan_init",
        "adrp x1, :got:__msan_init",
        "ldr x1, [x1, :got_lo12:__msan_init]",
        "str x1, [x0, 32]",
        ".weak __hwasan_init",
        "adrp x1, :got:__hwasan_init",
        "ldr x1, [x1, :got_lo12:__hwasan_init]",
        "str x1, [x0, 40]",
        ".weak __lsan_init",
        "adrp x1, :got:__lsan_init",
        "ldr x1, [x1, :got_lo12:__lsan_init]",
        "str x1, [x0, 48]",
        "ret",
    )
}

/// Writes the addresses of LeakSanitizer's functions that take and drop a root region, 0 in a program
/// without that tool. By weak references: no memory and no lock is needed to ask.
#[cfg(all(feature = "hosted", target_env = "gnu"))]
#[unsafe(naked)]
pub(crate) extern "C" fn weak_leak_roots(addresses: &mut [usize; 2]) {
    naked_asm!(
        "hint #34",
        ".weak __lsan_register_root_region",
        "adrp x1, :got:__lsan_register_root_region",
        "ldr x1, [x1, :got_lo12:__lsan_register_root_region]",
        "str x1, [x0, 0]",
        ".weak __lsan_unregister_root_region",
        "adrp x1, :got:__lsan_unregister_root_region",
        "ldr x1, [x1, :got_lo12:__lsan_unregister_root_region]",
        "str x1, [x0, 8]",
        "ret",
    )
}
