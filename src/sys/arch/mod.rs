//! The one seam between architectures: every file here offers the same list of functions, and no
//! other file of the crate contains assembly.
//!
//! | function | what it does |
//! |---|---|
//! | `syscall0` .. `syscall6` | a system call with that many arguments |
//! | `clone3_and_call` | `clone3`, the child calls a function on its new stack |
//! | `clone_and_call` | the same by `clone`, whose argument order differs between architectures |
//! | `thread_pointer`, `set_thread_pointer` | the register that finds the TCB |
//! | `stack_pointer` | where the calling thread's frames end |
//! | `has_shadow_stack` | whether a return must match the processor's own record of calls |
//! | `float_environment`, `set_float_environment` | rounding, traps and exceptions of floating point |
//! | `TCB_DTV_WORD` | (feature `hosted`) where glibc's TCB has the vector of TLS blocks |
//! | `save_context`, `restore_context` | leave a frame for good on this kernel thread and later run it on another |
//! | `exit_thread` | leave by the `exit` system call without touching the stack again |
//! | `weak_libc_symbols` | (static glibc) addresses of libc's functions that a program may lack |
//! | `_start` | (feature `start`) where the kernel starts the program |
//! | `copy_forward`, `copy_backward`, `fill_bytes` | what the memory functions of `start` are made of |

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(all(
    target_arch = "aarch64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
mod aarch64_start;
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(all(
    target_arch = "x86_64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
mod x86_64_start;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(all(
    target_arch = "aarch64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
pub(crate) use aarch64_start::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
#[cfg(all(
    target_arch = "x86_64",
    feature = "start",
    not(feature = "hosted"),
    not(test)
))]
pub(crate) use x86_64_start::*;

/// What runs in a child that [`clone3_and_call`] or [`clone_and_call`] made, or below a parked frame.
pub(crate) type ChildEntry = unsafe extern "C" fn(*mut u8) -> !;

/// What [`weak_libc_symbols`] looks up. The first is always there and brings its file into the program.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(crate) const LIBC_SYMBOLS: [&core::ffi::CStr; 5] = [
    c"gnu_get_libc_version",
    c"__rseq_offset",
    c"__rseq_size",
    c"__call_tls_dtors",
    c"__libc_thread_freeres",
];

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
