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

use crate::sys::{file, task};

const PF_EXITING: u64 = 0x4;
const PF_FORKNOEXEC: u64 = 0x40;

/// Whether the child `pid`, which has left this memory and is not reaped, ends without having been the program.
/// False where `/proc` does not show it.
pub(super) fn died_in_execve(pid: i32) -> bool {
    const BOTH: u64 = PF_EXITING | PF_FORKNOEXEC;
    let Some((parent, flags)) = parent_and_flags(pid) else {
        return false;
    };
    // A /proc of another pid namespace has another process under that number.
    parent == task::pid() && flags & BOTH == BOTH
}

/// Of `/proc/PID/stat` (`proc_pid_stat(5)`).
fn parent_and_flags(pid: i32) -> Option<(i32, u64)> {
    let path = CString::new(alloc::format!("/proc/{pid}/stat")).ok()?;
    let stat = file::open(&path, libc::O_RDONLY).ok()?;
    // The fields up to the ninth are shorter by far.
    let mut buffer = [0; 512];
    let length = file::read(stat.as_raw(), &mut buffer).ok()?;
    parse(&buffer[..length])
}

/// The fourth field and the ninth.
fn parse(line: &[u8]) -> Option<(i32, u64)> {
    // The second is the program's name in brackets, which may hold any byte.
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = core::str::from_utf8(&line[name_end..]).ok()?;
    let mut fields = rest.split(' ').skip(2);
    Some((fields.next()?.parse().ok()?, fields.nth(4)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{PF_EXITING, died_in_execve, parent_and_flags, parse};
    use crate::sys::task;

    #[test]
    fn this_process_runs_and_no_process_of_that_number_died() {
        let (parent, flags) = parent_and_flags(task::pid()).unwrap();
        assert_eq!(parent, task::parent_pid());
        assert_eq!(flags & PF_EXITING, 0);
        assert!(!died_in_execve(-1));
    }

    #[test]
    fn a_name_may_look_like_fields() {
        let line = b"7 (a) S 1 2 (b) Z 5 6 7 8 9 4194380 0 0";
        assert_eq!(parse(line), Some((5, 4_194_380)));
        for bad in [
            &b""[..],
            b"7 (a",
            b"7 (a) Z 5 6 7 8 9",
            b"7 (a) Z x 6 7 8 9 1 0",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
