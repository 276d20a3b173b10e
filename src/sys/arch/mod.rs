//! The one seam between architectures: every file here offers the same list of functions, and no
//! other file of the crate contains assembly.
//!
//! | function | what it does |
//! |---|---|
//! | `syscall0` .. `syscall6` | a system call with that many arguments |
//! | `clone3_and_call` | `clone3`, the child calls a function on its new stack |
//! | `clone_and_call` | the same by `clone`, whose argument order differs between architectures |
//! | `thread_pointer`, `set_thread_pointer` | the register that finds the TCB |
//! | `TCB_DTV_WORD` | (feature `hosted`) where glibc's TCB has the vector of TLS blocks |
//! | `save_context`, `restore_context` | leave a frame for good on this kernel thread and later run it on another |
//! | `exit_thread` | leave by the `exit` system call without touching the stack again |
//! | `unmap_and_exit_thread` | the same, after unmapping the stack it stands on |
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
