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
//! | `save_context`, `restore_context` | save a frame on this kernel thread and later continue it on another |
//! | `exit_thread` | call `exit` without touching the stack again |
//! | `unmap_and_exit_thread` | the same, after unmapping the stack that it runs on |
//! | `weak_libc_symbols` | (static glibc) addresses of libc's functions that a program may lack |
//! | `RSEQ_SIGNATURE` | (`hosted`) what glibc registers rseq areas with |
//! | `static_tls_block`, `static_tls_range` | (`hosted`) where glibc places blocks in a thread's static TLS |
//! | `R_RELATIVE` | (without libc) the type of relative relocations |
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
