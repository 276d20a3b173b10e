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
        "mov rax, [rip + gnu_get_libc_version@GOTPCREL]",
        "mov [rdi + 0], rax",
        ".weak __rseq_offset",
        "mov rax, [rip + __rseq_offset@GOTPCREL]",
        "mov [rdi + 8], rax",
        ".weak __rseq_size",
        "mov rax, [rip + __rseq_size@GOTPCREL]",
        "mov [rdi + 16], rax",
        ".weak __call_tls_dtors",
        "mov rax, [rip + __call_tls_dtors@GOTPCREL]",
        "mov [rdi + 24], rax",
        ".weak __libc_thread_freeres",
        "mov rax, [rip + __libc_thread_freeres@GOTPCREL]",
        "mov [rdi + 32], rax",
        ".weak __asan_init",
        "mov rax, [rip + __asan_init@GOTPCREL]",
        "mov [rdi + 40], rax",
        ".weak __tsan_init",
        "mov rax, [rip + __tsan_init@GOTPCREL]",
        "mov [rdi + 48], rax",
        ".weak __msan_init",
        "mov rax, [rip + __msan_init@GOTPCREL]",
        "mov [rdi + 56], rax",
        ".weak __hwasan_init",
        "mov rax, [rip + __hwasan_init@GOTPCREL]",
        "mov [rdi + 64], rax",
        ".weak __lsan_init",
        "mov rax, [rip + __lsan_init@GOTPCREL]",
        "mov [rdi + 72], rax",
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
        ".weak __call_tls_dtors",
        ".hidden __call_tls_dtors",
        "mov rax, [rip + __call_tls_dtors@GOTPCREL]",
        "mov [rdi + 0], rax",
        ".weak __libc_thread_freeres",
        ".hidden __libc_thread_freeres",
        "mov rax, [rip + __libc_thread_freeres@GOTPCREL]",
        "mov [rdi + 8], rax",
        ".weak __asan_init",
        "mov rax, [rip + __asan_init@GOTPCREL]",
        "mov [rdi + 16], rax",
        ".weak __tsan_init",
        "mov rax, [rip + __tsan_init@GOTPCREL]",
        "mov [rdi + 24], rax",
        ".weak __msan_init",
        "mov rax, [rip + __msan_init@GOTPCREL]",
        "mov [rdi + 32], rax",
        ".weak __hwasan_init",
        "mov rax, [rip + __hwasan_init@GOTPCREL]",
        "mov [rdi + 40], rax",
        ".weak __lsan_init",
        "mov rax, [rip + __lsan_init@GOTPCREL]",
        "mov [rdi + 48], rax",
        "ret",
    )
}

/// Writes the addresses of LeakSanitizer's functions that take and drop a root region, 0 in a program
/// without that tool. By weak references: no memory and no lock is needed to ask.
#[cfg(all(feature = "hosted", target_env = "gnu"))]
#[unsafe(naked)]
pub(crate) extern "C" fn weak_leak_roots(addresses: &mut [usize; 2]) {
    naked_asm!(
        ".weak __lsan_register_root_region",
        "mov rax, [rip + __lsan_register_root_region@GOTPCREL]",
        "mov [rdi + 0], rax",
        ".weak __lsan_unregister_root_region",
        "mov rax, [rip + __lsan_unregister_root_region@GOTPCREL]",
        "mov [rdi + 8], rax",
        "ret",
    )
}
