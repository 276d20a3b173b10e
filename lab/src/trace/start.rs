//! Starts a program under the tracer, or attaches to one that runs.
#![allow(unsafe_code, reason = "fork and exec")]

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;

use rawthread::process::{Child, Fork, fork};

use super::tracee::{self, Until};
use super::{filter, interrupt, proc};
use crate::cli::Word;

/// A command that is traced, before its exec.
pub(super) struct Started {
    pub(super) pid: i32,
    /// Held until the tracer has reaped the child: a dropped handle would reap it first.
    _child: Child,
    /// What the child says: whether the filter is installed, then the errno of a failed exec.
    report: File,
}

const FILTERED: u8 = b'f';
const NOT_FILTERED: u8 = b'n';

/// Why there is nothing to trace.
#[derive(Debug)]
pub(super) enum StartError {
    /// The words hold a NUL byte.
    Nul,
    /// ptrace(2) failed.
    Trace(io::Error),
    /// The command is traced already: by this process, which traces the lab.
    Traced(i32),
    /// The number of a thread, and of its process.
    Thread(i32, i32),
    /// No pipe, no process, or no list of threads.
    Other(String),
}

impl Started {
    /// Where the program must be stopped, so that no call is missed.
    pub(super) fn stops(&mut self) -> Until {
        let mut word = [0];
        match self.report.read_exact(&mut word) {
            Ok(()) if word[0] == FILTERED => Until::Event,
            _ => Until::Syscall,
        }
    }

    /// The errno of the exec, if it failed.
    pub(super) fn failure(&mut self) -> Option<i32> {
        let (mut word, mut errno) = ([0], [0; 4]);
        self.report.read_exact(&mut word).ok()?;
        self.report.read_exact(&mut errno).ok()?;
        Some(i32::from_ne_bytes(errno))
    }
}

fn pipe() -> Result<(File, File), StartError> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        let error = io::Error::last_os_error();
        return Err(StartError::Other(format!("no pipe: {error}")));
    }
    // SAFETY: both are fresh and owned here alone.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}

/// Starts a command, traced from its exec on.
///
/// # Errors
/// [`StartError`].
pub(super) fn command(words: &[Word]) -> Result<Started, StartError> {
    let words: Result<Vec<_>, _> = words
        .iter()
        .map(|word| CString::new(word.raw.as_bytes()))
        .collect();
    let words = words.map_err(|_| StartError::Nul)?;
    let mut vector: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    vector.push(std::ptr::null());
    let mut program = filter::program();
    let (mut wait_for_tracer, mut traced) = pipe()?;
    let (report, mut to_report) = pipe()?;
    // SAFETY: the lab has one thread; the child execs or ends by `_exit`.
    match unsafe { fork() }.map_err(|error| StartError::Other(error.to_string()))? {
        Fork::Child => {
            drop(traced);
            if wait_for_tracer.read_exact(&mut [0]).is_ok() {
                let word = match filter::install(&mut program) {
                    Ok(()) => FILTERED,
                    Err(_) => NOT_FILTERED,
                };
                let _ = to_report.write_all(&[word]);
                // SAFETY: the vector ends with null, and its strings live.
                unsafe { libc::execvp(vector[0], vector.as_ptr()) };
                let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
                let _ = to_report.write_all(&errno.to_ne_bytes());
            }
            // SAFETY: ends the child without the lab's exit handlers.
            unsafe { libc::_exit(127) }
        }
        Fork::Parent(mut child) => {
            drop((wait_for_tracer, to_report));
            let pid = child.pid();
            interrupt::leave_to_program(pid);
            let seized = tracee::seize(pid, true);
            if seized.is_ok() {
                let _ = traced.write_all(&[0]);
            }
            // While the child waits.
            let tracer = seized.as_ref().err().and_then(|_| proc::tracer_of(pid));
            // A child that is not seized reads the end of the pipe and exits.
            drop(traced);
            if let Err(error) = seized {
                let _ = child.wait();
                return Err(tracer.map_or(StartError::Trace(error), StartError::Traced));
            }
            Ok(Started {
                pid,
                _child: child,
                report,
            })
        }
    }
}

/// A process that ran before, now traced.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) pid: i32,
    pub(super) tids: BTreeSet<i32>,
}

/// Attaches to every thread of a process.
///
/// # Errors
/// [`StartError`].
pub(super) fn attach(pid: i32) -> Result<Attached, StartError> {
    if let Some(process) = proc::thread_group(pid).filter(|process| *process != pid) {
        return Err(StartError::Thread(pid, process));
    }
    tracee::seize(pid, false).map_err(StartError::Trace)?;
    interrupt::detach_from(pid);
    tracee::interrupt(pid);
    let mut tids = BTreeSet::from([pid]);
    seize_threads(pid, &mut tids)?;
    Ok(Attached { pid, tids })
}

/// Attaches to the threads of a process that are not among `tids`, adds them, and returns them.
///
/// # Errors
/// There is no list of threads.
pub(super) fn seize_threads(pid: i32, tids: &mut BTreeSet<i32>) -> Result<Vec<i32>, StartError> {
    let mut found = Vec::new();
    // Threads may make threads meanwhile: until a list holds nothing new.
    loop {
        let before = found.len();
        let list = format!("/proc/{pid}/task");
        let list =
            fs::read_dir(&list).map_err(|error| StartError::Other(format!("{list}: {error}")))?;
        for entry in list.flatten() {
            let Some(tid) = entry.file_name().to_str().and_then(|tid| tid.parse().ok()) else {
                continue;
            };
            // What a seized thread made is traced already, and will be announced.
            if !tids.contains(&tid) && tracee::seize(tid, false).is_ok() {
                tracee::interrupt(tid);
                tids.insert(tid);
                found.push(tid);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}
