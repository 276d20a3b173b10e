//! Counts system calls by ptrace, which needs no right where the traced process is a child.
//!
//! The child marks what is counted by calls of `getpriority` that no program makes; see [`mark`]. Two
//! marks also take timing out of the count, so that it is the same on a busy machine:
//!
//! * a thread that marks `HOLD` is held until the main thread is in a futex wait: so the main thread's
//!   join always has to sleep;
//! * the main thread that marks `SETTLE` is held until each other thread is in a futex wait or gone: so
//!   the next spawn always finds a free stack, or an idle worker.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::ptr;

/// How often each system call was made, by number.
pub(crate) type Counts = BTreeMap<i64, i64>;

/// The first argument of a mark, which is no valid one of `getpriority`.
const MARK: i64 = 0x5256;

pub(crate) const BEGIN: i64 = 1;
pub(crate) const END: i64 = 2;
pub(crate) const HOLD: i64 = 3;
pub(crate) const SETTLE: i64 = 4;

/// Marks a place for the tracer.
pub(crate) fn mark(which: i64) {
    // SAFETY: with this first argument the call fails and does nothing else.
    unsafe { libc::syscall(libc::SYS_getpriority, MARK, which) };
}

/// The part of the kernel's `ptrace_syscall_info` that a stop at the entry fills.
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    nr: u64,
    args: [u64; 6],
    rest: [u64; 4],
}

const PTRACE_GET_SYSCALL_INFO: i32 = 0x420e;
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// What a traced thread does.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Running,
    InFutexWait,
    /// Stopped at a mark.
    Held(i64),
}

struct Tracer {
    main: i32,
    threads: BTreeMap<i32, State>,
    counting: bool,
    counts: Counts,
}

/// Runs a scenario and counts the system calls between its marks `BEGIN` and `END`, of all threads.
///
/// # Errors
/// The reason, if this process cannot trace here.
pub(crate) fn count(scenario: &str) -> Result<Counts, String> {
    let mut command = crate::child_command(scenario);
    command.stdin(Stdio::null());
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let child = command
        .spawn()
        .map_err(|error| format!("ptrace: {error}"))?;
    let main = child.id() as i32;
    let (stopped, _) = wait(main);
    assert_eq!(stopped, main);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    let set = request(
        libc::PTRACE_SETOPTIONS as i32,
        main,
        ptr::null_mut(),
        options as usize,
    );
    assert_eq!(set, 0, "PTRACE_SETOPTIONS: {}", io::Error::last_os_error());
    let mut tracer = Tracer {
        main,
        threads: BTreeMap::from([(main, State::Running)]),
        counting: false,
        counts: Counts::new(),
    };
    resume(main, 0);
    tracer.follow()?;
    Ok(tracer.counts)
}

impl Tracer {
    fn follow(&mut self) -> Result<(), String> {
        loop {
            let (tid, status) = wait(-1);
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                if tid == self.main {
                    assert!(libc::WIFEXITED(status), "the child died: {status:#x}");
                    assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed");
                    return Ok(());
                }
                self.threads.remove(&tid);
            } else if libc::WSTOPSIG(status) == SYSCALL_STOP {
                self.syscall(tid)?;
            } else if status >> 16 != 0 {
                let mut new: libc::c_ulong = 0;
                request(
                    libc::PTRACE_GETEVENTMSG as i32,
                    tid,
                    ptr::null_mut(),
                    (&raw mut new) as usize,
                );
                self.threads.entry(new as i32).or_insert(State::Running);
                resume(tid, 0);
            } else if libc::WSTOPSIG(status) == libc::SIGSTOP {
                // A new thread's first stop, which may come before its creator's event.
                self.threads.entry(tid).or_insert(State::Running);
                resume(tid, 0);
            } else {
                resume(tid, libc::WSTOPSIG(status));
            }
            self.release();
        }
    }

    /// A stop at the entry or the exit of a system call.
    fn syscall(&mut self, tid: i32) -> Result<(), String> {
        const ENTRY: u8 = 1;
        let mut info = SyscallInfo::default();
        let size = ptr::without_provenance_mut(size_of::<SyscallInfo>());
        let got = request(PTRACE_GET_SYSCALL_INFO, tid, size, (&raw mut info) as usize);
        if got <= 0 {
            return Err(format!(
                "PTRACE_GET_SYSCALL_INFO: {}",
                io::Error::last_os_error()
            ));
        }
        let mut state = State::Running;
        if info.op == ENTRY {
            let number = info.nr as i64;
            if number == libc::SYS_getpriority && info.args[0] as i64 == MARK {
                match info.args[1] as i64 {
                    BEGIN => self.counting = true,
                    END => self.counting = false,
                    mark => {
                        self.threads.insert(tid, State::Held(mark));
                        return Ok(());
                    }
                }
            } else {
                if number == libc::SYS_futex && is_wait(info.args[1]) {
                    state = State::InFutexWait;
                }
                *self.counts.entry(number).or_default() += i64::from(self.counting);
            }
        }
        self.threads.insert(tid, state);
        resume(tid, 0);
        Ok(())
    }

    /// Resumes held threads whose condition holds.
    fn release(&mut self) {
        let main_waits = self.threads.get(&self.main) == Some(&State::InFutexWait);
        let mut others = self.threads.iter().filter(|(tid, _)| **tid != self.main);
        let others_wait = others.all(|(_, state)| *state == State::InFutexWait);
        for (tid, state) in &mut self.threads {
            let State::Held(mark) = *state else { continue };
            if mark == HOLD && main_waits || mark == SETTLE && others_wait {
                *state = State::Running;
                resume(*tid, 0);
            }
        }
    }
}

/// Whether a futex call with this operation sleeps.
fn is_wait(operation: u64) -> bool {
    let command = operation as i32 & libc::FUTEX_CMD_MASK;
    command == libc::FUTEX_WAIT || command == libc::FUTEX_WAIT_BITSET
}

fn wait(of: i32) -> (i32, i32) {
    let mut status = 0;
    // SAFETY: writes a local variable.
    let tid = unsafe { libc::waitpid(of, &mut status, libc::__WALL) };
    assert!(tid > 0, "waitpid: {}", io::Error::last_os_error());
    (tid, status)
}

fn request(request: i32, tid: i32, address: *mut u8, data: usize) -> i64 {
    // The request's type differs between libcs.
    // SAFETY: each caller passes what its request reads or writes: a number, or a local variable.
    unsafe { libc::ptrace(request as _, tid, address, data) }
}

/// Lets a stopped thread run until its next system call. A thread that was killed meanwhile is gone.
fn resume(tid: i32, signal: i32) {
    request(
        libc::PTRACE_SYSCALL as i32,
        tid,
        ptr::null_mut(),
        signal as usize,
    );
}
