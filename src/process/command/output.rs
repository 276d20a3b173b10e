//! Waiting for a child and gathering what it says.

use alloc::vec::Vec;

use crate::error::{Error, Operation};
use crate::process::child::Child;
use crate::process::pipe::Pipe;
use crate::process::status::ExitStatus;
use crate::process::usage::Usage;
use crate::sys::{Errno, file, wait};

pub(super) static POLL: Operation = Operation {
    name: "ppoll",
    purpose: "wait for the child's output",
    hint: |errno| match errno {
        Errno::ENOMEM => "Free some memory.",
        _ => "A sandbox may refuse the call: read the pipes yourself.",
    },
};

/// How a child ended and what it wrote.
///
/// ```
/// let output = rawthread::process::Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// assert!(output.stderr.is_empty());
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to a piped stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to a piped stderr.
    pub stderr: Vec<u8>,
    /// What it used; `None` where its status came from the pidfd.
    pub usage: Option<Usage>,
    /// Whether a time limit was over before it ended.
    pub timed_out: bool,
}

impl Output {
    pub(super) fn of(
        child: &Child,
        status: ExitStatus,
        timed_out: bool,
        texts: [Vec<u8>; 2],
    ) -> Self {
        let [stdout, stderr] = texts;
        Self {
            status,
            stdout,
            stderr,
            usage: child.usage(),
            timed_out,
        }
    }
}

/// Leaves out what std's does not have: usage and time limit.
#[cfg(feature = "std")]
impl From<Output> for std::process::Output {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.into(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }
}

impl Child {
    /// Closes stdin, reads stdout and stderr to their ends if they are pipes, and waits.
    ///
    /// A pipe ends when no process has it open for writing: descendants that have outlived the child are waited
    /// for, too, unless they closed it. [`wait_with_output_timeout`](Self::wait_with_output_timeout) does not.
    ///
    /// # Errors
    /// Those of [`wait`](Child::wait), `read(2)` and `ppoll(2)`.
    ///
    /// ```
    /// use rawthread::process::{Command, Stdio};
    ///
    /// let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"hello\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn wait_with_output(mut self) -> Result<Output, Error> {
        self.stdin = None;
        let mut pipes = [self.stdout.take(), self.stderr.take()];
        let mut texts = [Vec::new(), Vec::new()];
        // The two pipes are read in turns: a child that waits for one to be emptied must not wait
        // for a reader of the other. In its turn a pipe is read until it is empty, as far as a read
        // need not wait then.
        let two = pipes.iter().flatten().count() == 2;
        let mut all = pipes.iter().flatten();
        let turn = match two && all.all(|pipe| set_nonblocking(pipe, true)) {
            true => READS_IN_A_TURN,
            false => 1,
        };
        while pipes.iter().flatten().count() == 2 {
            // ppoll skips entries whose descriptor is negative.
            let mut fds = [0, 1].map(|index: usize| libc::pollfd {
                fd: pipes[index].as_ref().map_or(-1, Pipe::raw_fd),
                events: libc::POLLIN,
                revents: 0,
            });
            match wait::poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Error::from_operation(&POLL, errno)),
            }
            for (index, entry) in fds.iter().enumerate() {
                if entry.revents != 0 {
                    read_in_turn(&mut pipes[index], &mut texts[index], turn)?;
                }
            }
        }
        // One is left, and needs no poll.
        for (pipe, text) in pipes.iter_mut().zip(&mut texts) {
            if let Some(pipe) = pipe
                && two
            {
                set_nonblocking(pipe, false);
            }
            while pipe.is_some() {
                read_in_turn(pipe, text, 1)?;
            }
        }
        let status = self.wait()?;
        Ok(Output::of(&self, status, false, texts))
    }
}

/// How often a pipe is read before the other one is looked at again.
const READS_IN_A_TURN: usize = 32;

/// Sets whether a read of an empty pipe fails; whether that could be set.
fn set_nonblocking(pipe: &Pipe, enable: bool) -> bool {
    file::set_nonblocking(pipe.raw_fd(), enable).is_ok()
}

/// Reads a pipe so often, or until it is empty; it is dropped at its end.
fn read_in_turn(pipe: &mut Option<Pipe>, text: &mut Vec<u8>, turn: usize) -> Result<(), Error> {
    for _ in 0..turn {
        let Some(open) = pipe else { break };
        match read_into(open, text) {
            Ok(true) => {}
            Ok(false) => *pipe = None,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads once; `false` at the end.
pub(super) fn read_into(pipe: &mut Pipe, text: &mut Vec<u8>) -> Result<bool, Error> {
    /// What a pipe holds, unless its size was set.
    const PIPE_SIZE: usize = 64 * 1024;
    if text.capacity() - text.len() < PIPE_SIZE / 2 {
        // At least doubles.
        text.reserve(PIPE_SIZE);
    }
    pipe.read_to_spare(text).map(|len| len > 0)
}
