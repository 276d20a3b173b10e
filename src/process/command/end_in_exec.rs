//! Whether a child died in `execve` before it was the program.
//!
//! To its parent both look alike: the child has left the shared memory. What tells them apart is in the flags of
//! the task (kernel/fork.c, fs/exec.c): `PF_FORKNOEXEC` from fork to the point from which execve cannot return,
//! and `PF_EXITING` from the begin of its exit, which comes before the memory is left. So the first look decides:
//!
//! | `PF_EXITING` | `PF_FORKNOEXEC` | the child |
//! |---|---|---|
//! | 0 | 0 or 1 | is about to be the program, or is it |
//! | 1 | 0 | was the program, and ends |
//! | 1 | 1 | ends without having been the program |

use alloc::ffi::CString;

use crate::sys::file;

const PF_EXITING: u64 = 0x4;
const PF_FORKNOEXEC: u64 = 0x40;

/// Whether the child `pid`, which has left this memory and is not reaped, ends without having been the program.
/// False where `/proc` does not show it.
pub(super) fn died_in_execve(pid: i32) -> bool {
    const BOTH: u64 = PF_EXITING | PF_FORKNOEXEC;
    flags_of(pid).is_some_and(|flags| flags & BOTH == BOTH)
}

/// The ninth field of `/proc/PID/stat` (`proc_pid_stat(5)`).
fn flags_of(pid: i32) -> Option<u64> {
    let path = CString::new(alloc::format!("/proc/{pid}/stat")).ok()?;
    let stat = file::open(&path, libc::O_RDONLY).ok()?;
    // The fields up to the ninth are shorter by far.
    let mut buffer = [0; 512];
    let length = file::read(stat.as_raw(), &mut buffer).ok()?;
    let line = &buffer[..length];
    // The second field is the program's name in brackets, which may hold any byte.
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = core::str::from_utf8(&line[name_end..]).ok()?;
    rest.split(' ').nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{PF_EXITING, died_in_execve, flags_of};

    #[test]
    fn this_process_runs_and_no_process_of_that_number_died() {
        let flags = flags_of(crate::sys::task::pid()).unwrap();
        assert_eq!(flags & PF_EXITING, 0);
        assert!(!died_in_execve(-1));
    }
}
