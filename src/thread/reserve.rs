//! Preallocates thread resources; frees idle ones.

use super::builder::default_stack_size;
use super::pool::idle;
use super::spawn::prepare::SIZE_OVERFLOW;
use crate::arena::FreeList;
use crate::error::Error;
use crate::runtime::{Rt, Runtime, acquire, record};
use crate::stack::cache;

/// Preallocates stacks, thread control blocks and records for `n` threads of the default size.
///
/// The next `n` spawns then neither map memory (`mmap(2)`) nor have libc lay out a thread control
/// block, and can fail only in `clone(2)`. Resources that are idle already
/// count. Each costs what a thread on a new stack costs, and keeps some 8 KiB of memory and the
/// stack's address space.
///
/// # Errors
/// As [`Builder::try_spawn`](crate::Builder::try_spawn); what was prepared until then stays prepared.
/// [`InvalidInput`](crate::ErrorKind::InvalidInput), with nothing prepared, above 4194304, the most
/// tasks that Linux can have.
///
/// ```
/// rawthread::reserve(16)?;
/// let threads: Vec<_> = (0..16).map(|n| rawthread::spawn(move || n)).collect();
/// assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<i32>(), 120);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn reserve(n: usize) -> Result<(), Error> {
    /// PID_MAX_LIMIT of `include/linux/threads.h`.
    const MOST_TASKS: usize = 4 << 20;
    if n > MOST_TASKS {
        return Err(Error::invalid_input(
            "more threads are to be reserved than Linux can have",
            "Reserve at most 4194304; what the machine allows is in /proc/sys/kernel/pid_max.",
        ));
    }
    Rt::ensure_init()?;
    // Any small packet fits into what the size class rounds up.
    let stack_size = default_stack_size().saturating_add(Rt::tcb_reserve());
    let held = FreeList::new();
    // One after the other: all at once would save 3 of the 13 system calls that each costs, and
    // need as many tasks at a time, which a limit may not allow.
    let mut outcome = Ok(());
    for _ in 0..n {
        match acquire::acquire_slot(stack_size, cache::default_guard(), SIZE_OVERFLOW) {
            Ok(slot) => held.push(slot),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    Rt::cache().put_all_idle(&held);
    // After the slots: where those meet a limit, no memory goes to records.
    outcome.and_then(|()| record::reserve(n))
}

/// Sets how many bytes of idle stacks keep the memory that their threads touched: with a libc 16 MiB
/// unless set, without one all.
///
/// The stack of an ended thread stays mapped for a later thread, and the pages that it touched stay resident, so
/// that the later thread has no page faults. When a thread ends or is joined, and the idle stacks come to more than
/// `bytes`, all of them return their pages to the system (`madvise(2)`, `MADV_DONTNEED`). The top of a stack always stays:
/// 8 KiB and what lies above, with a libc some 40 KiB in all. [`trim`] gives back the stacks themselves.
///
/// | `bytes` | what stays resident |
/// |---|---|
/// | 0 | the pages of one stack. Each thread costs a system call, and a page fault for each page that it touches |
/// | a number | those of at most `bytes` of stacks |
/// | `usize::MAX` | all |
///
/// How much a stack counts, and from when on:
///
/// * Without a libc a stack counts its whole size, and the bound is for stacks that become idle from now on.
/// * With a libc the bound is in force at once, for stacks that are idle already, too. The next thousand threads ask at
///   their end for the page faults that they had (`getrusage(2)`), and such a thread's stack counts at most twice that
///   memory: the stacks of many small threads are within the bound, and return nothing that the next ones need again.
///   Every ten seconds in which threads end, idle stacks return their pages even within the bound; one of 16 ends
///   looks at the clock. A process in which no thread ends keeps up to `bytes`.
///
/// A spawn on an idle stack makes no system call for any of this.
///
/// ```
/// rawthread::set_idle_memory(64 << 20);
/// ```
pub fn set_idle_memory(bytes: usize) {
    Rt::set_idle_memory(bytes);
}

/// Unmaps the stacks of threads that have ended, and has the idle workers of [`warm`](crate::warm)
/// exit.
///
/// Stacks are kept for later threads: a process keeps as many as it had threads at once. Running
/// threads are not touched. While the idle stacks come to more than [`set_idle_memory`] says, the memory
/// that threads touched in them returns to the system when threads are joined or end, and with a libc
/// every ten seconds in which threads end, but for the top of each: with a libc, where that is 16 MiB unless set, 300 threads that touched 1 MiB each
/// leave less than 24 MiB resident.
///
/// `trim` leaves some 200 bytes a thread. These stacks it leaves mapped, too:
/// * one that its thread has not quite left yet, for a later `trim`;
/// * one that `munmap(2)` refuses, for want of map entries or by a filter;
/// * with a libc, one whose thread control block cannot be taken off libc's lists: on a processor
///   with a shadow stack in force, on a kernel without `CONFIG_CHECKPOINT_RESTORE`, or where `clone`
///   is refused.
///
/// A spawn that meets a limit on memory, address space or map entries does the same before it fails,
/// with what [`reserve`] prepared as well.
///
/// Costs about as much as spawning and joining a thread for each idle stack, and so does the next
/// spawn on a new one.
///
/// ```
/// for thread in (0..8).map(|_| rawthread::spawn(|| ())).collect::<Vec<_>>() {
///     thread.join().unwrap();
/// }
/// rawthread::trim();
/// rawthread::spawn(|| ()).join().unwrap();
/// ```
pub fn trim() {
    if Rt::ensure_init().is_ok() {
        idle::shutdown_idle();
        Rt::cache().trim(Rt::destroy_tcb);
    }
}
