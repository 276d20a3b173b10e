//! The one seam between architectures: the files of each offer the same list of items, and no
//! other file of the crate contains assembly or names an architecture.
//!
//! | item | what it does |
//! |---|---|
//! | `syscall0` .. `syscall6` | a system call with that many arguments |
//! | `clone3_and_call` | `clone3`, the child calls a function on its new stack |
//! | `clone_and_call` | the same by `clone`, whose argument order differs between architectures |
//! | `order_clone_tail` | the order of `clone`'s last two arguments |
//! | `FIXED_PAGE_SIZE` | the page size, where the architecture has one only |
//! | `thread_pointer`, `set_thread_pointer` | the register that holds the address of the TCB |
//! | `stack_pointer` | the lowest address of the calling thread's frames |
//! | `has_shadow_stack` | whether the processor checks returns against its own record of calls |
//! | `float_environment`, `set_float_environment` | rounding, traps and exceptions of floating point |
//! | `TCB_DTV_WORD` | (`hosted`) where glibc's TCB has the vector of TLS blocks |
//! | `save_context`, `restore_context` | save a frame on this kernel thread and later continue it on another |
//! | `exit_thread` | call `exit` without touching the stack again |
//! | `weak_leak_roots` | (glibc) addresses of LeakSanitizer's functions, where the program has it |
//! | `weak_libc_symbols` | (static glibc) addresses of libc's functions that a program may lack |
//! | `SYS_DUP2`, `SYS_POLL` | numbers of older calls, where the architecture has them |
//! | `AUDIT_ARCH` | (`alloc`) how seccomp filters name the ABI |
//! | `RSEQ_SIGNATURE` | (`hosted`) what glibc registers rseq areas with |
//! | `static_tls_block`, `static_tls_range` | (`hosted`) where glibc places blocks in a thread's static TLS |
//! | `R_RELATIVE`, `R_IRELATIVE` | (without libc) types of relocations |
//! | `place_tcb`, `tls_block_offset`, `thread_data_offset`, `write_tcb_header`, `TCB_HEADER_LEN` | (without libc) the layout around a thread pointer |
//! | `_start` | (`start`) where the kernel starts the program |
//! | `set_canary` | (`start`) the stack protector's canary, where it is a global |
//! | `copy_forward`, `copy_backward`, `fill_bytes` | (`start`) the loops of `memcpy`, `memmove` and `memset` |

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(all(
    target_arch = "aarch64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
mod aarch64_start;
#[cfg(all(target_arch = "aarch64", not(feature = "hosted")))]
mod aarch64_tcb;
#[cfg(all(target_arch = "aarch64", feature = "hosted", target_env = "gnu"))]
mod aarch64_weak;
mod types;
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(all(
    target_arch = "x86_64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
mod x86_64_start;
#[cfg(all(target_arch = "x86_64", not(feature = "hosted")))]
mod x86_64_tcb;
#[cfg(all(target_arch = "x86_64", feature = "hosted", target_env = "gnu"))]
mod x86_64_weak;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(all(
    target_arch = "aarch64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
pub(crate) use aarch64_start::*;
#[cfg(all(target_arch = "aarch64", not(feature = "hosted")))]
pub(crate) use aarch64_tcb::*;
#[cfg(all(target_arch = "aarch64", feature = "hosted", target_env = "gnu"))]
pub(crate) use aarch64_weak::*;
pub(crate) use types::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
#[cfg(all(
    target_arch = "x86_64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
pub(crate) use x86_64_start::*;
#[cfg(all(target_arch = "x86_64", not(feature = "hosted")))]
pub(crate) use x86_64_tcb::*;
#[cfg(all(target_arch = "x86_64", feature = "hosted", target_env = "gnu"))]
pub(crate) use x86_64_weak::*;

#[cfg(all(test, not(loom)))]
mod tests {
    /// The kernel names the thread's features in a line of their own, where it knows such.
    #[test]
    #[cfg(feature = "std")]
    fn a_shadow_stack_is_seen_where_the_kernel_tells_of_one() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let told = status
            .lines()
            .filter(|line| line.starts_with("x86_Thread_features:"))
            .any(|line| line.contains("shstk"));
        assert_eq!(super::has_shadow_stack(), told);
    }

    #[test]
    fn the_stack_pointer_lies_below_the_callers_frames() {
        #[inline(never)]
        fn inner() -> usize {
            super::stack_pointer() as usize
        }
        let outer = super::stack_pointer() as usize;
        assert!(inner() <= outer);
        assert!(outer - inner() < 1 << 16);
    }
}
