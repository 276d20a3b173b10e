//! Gathering what a child says within a time.

use alloc::vec::Vec;
use core::time::Duration;

use super::builder::Command;
use super::output::{Output, POLL, read_into};
use super::time_limit::TimeLimit;
use crate::error::Error;
use crate::process::child::Child;
use crate::process::pipe::Pipe;
use crate::process::status::ExitStatus;
use crate::sys::futex::Deadline;
use crate::sys::{Errno, file, wait};

/// How often a child without a pidfd is looked for.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// The wait status of a stop: neither a code nor a signal ended the child.
const NOT_ENDED: ExitStatus = ExitStatus::from_raw(0x7f);

fn entry(fd: i32) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// A pipe from the child, until its end, and what was read of it.
struct Stream {
    pipe: Option<Pipe>,
    text: Vec<u8>,
}

impl Stream {
    fn new(pipe: Option<Pipe>) -> Self {
        Self {
            pipe,
            text: Vec::new(),
        }
    }

    /// Reads once.
    fn read(&mut self) -> Result<(), Error> {
        if let Some(pipe) = &mut self.pipe
            && !read_into(pipe, &mut self.text)?
        {
            self.pipe = None;
        }
        Ok(())
    }

    /// Reads what the pipe holds now, and not what its other writers add meanwhile.
    fn read_rest(&mut self) -> Result<(), Error> {
        let Some(pipe) = &self.pipe else {
            return Ok(());
        };
        let Ok(held) = file::readable(pipe.raw_fd()) else {
            return self.read_while_ready();
        };
        let until = self.text.len() + held;
        while self.pipe.is_some() && self.text.len() < until {
            self.read()?;
        }
        Ok(())
    }

    /// For a sandbox that does not tell how much that is: a pipe of the usual size is emptied.
    fn read_while_ready(&mut self) -> Result<(), Error> {
        const READS: usize = 16;
        let now = Deadline::after(Duration::ZERO);
        for _ in 0..READS {
            let Some(pipe) = &self.pipe else { break };
            let mut fds = [entry(pipe.raw_fd())];
            if wait::poll(&mut fds, now.as_ref()) != Ok(1) {
                break;
            }
            self.read()?;
        }
        Ok(())
    }
}

impl Child {
    /// As [`wait_with_output`](Self::wait_with_output), but for at most `limit`, a `Duration` or a
    /// [`TimeLimit`]: then the child is killed (SIGKILL), as its status and [`Output::timed_out`] say. What it
    /// wrote until then is in the output.
    ///
    /// It does not wait for the child's own children, which may keep the pipes open long after: once
    /// the child has ended, it reads what is in the pipes, and no more. A child that may not be killed, for it has
    /// changed its ids, runs on: then the status says neither a code nor a signal.
    ///
    /// # Errors
    /// As [`wait_with_output`](Self::wait_with_output).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use rawthread::process::{Command, Stdio};
    ///
    /// let child = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn()?;
    /// let output = child.wait_with_output_timeout(Duration::from_millis(300))?;
    /// assert!(output.timed_out);
    /// assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn wait_with_output_timeout(
        mut self,
        limit: impl Into<TimeLimit>,
    ) -> Result<Output, Error> {
        let TimeLimit {
            limit,
            grace,
            group,
        } = limit.into();
        self.stdin = None;
        let mut streams = [self.stdout.take(), self.stderr.take()].map(Stream::new);
        let mut ended = self.read_within(limit, &mut streams)?;
        let timed_out = !ended;
        if let (false, Some(grace)) = (ended, grace) {
            self.signal_all(libc::SIGTERM, group);
            ended = self.read_within(grace, &mut streams)?;
        }
        // Before the leader is reaped its group's number is no other group's.
        let killed = (!ended || group) && self.signal_all(libc::SIGKILL, group);
        let status = match ended || killed {
            true => self.wait()?,
            false => NOT_ENDED,
        };
        for stream in &mut streams {
            stream.read_rest()?;
        }
        let texts = streams.map(|stream| stream.text);
        Ok(Output::of(&self, status, timed_out, texts))
    }

    /// Sends a signal to the child, and to the group that it leads; whether the child got it.
    fn signal_all(&self, signal: i32, group: bool) -> bool {
        if group {
            // ESRCH: it leads none. EPERM: no process of it may be signalled, or the rest got it.
            let _ = self.signal_group(signal);
        }
        self.signal(signal).is_ok()
    }

    /// Reads the streams until the child has ended or the time is over; whether it has ended.
    fn read_within(&mut self, limit: Duration, streams: &mut [Stream; 2]) -> Result<bool, Error> {
        let deadline = Deadline::after(limit);
        let is_over = |deadline: Option<Deadline>| deadline.is_some_and(|point| point.has_passed());
        let number = |stream: &Stream| entry(stream.pipe.as_ref().map_or(-1, Pipe::raw_fd));
        loop {
            if self.process.status.is_some() {
                return Ok(true);
            }
            // Where there is none, by an older kernel or a sandbox, the child is looked for.
            let pidfd = self.process.open_pidfd().ok();
            let mut fds = [
                number(&streams[0]),
                number(&streams[1]),
                entry(pidfd.unwrap_or(-1)),
            ];
            let soon = Deadline::after(LOOK_AFTER);
            let until = match (pidfd, &deadline, &soon) {
                (None, Some(limit), Some(soon)) if limit.remaining() > soon.remaining() => {
                    Some(soon)
                }
                (None, None, soon) => soon.as_ref(),
                (_, limit, _) => limit.as_ref(),
            };
            match wait::poll(&mut fds, until) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::from_operation(&POLL, errno)),
            }
            if fds[2].revents != 0 || pidfd.is_none() && self.process.is_gone() {
                return Ok(true);
            }
            for (stream, entry) in streams.iter_mut().zip(&fds) {
                if entry.revents != 0 {
                    stream.read()?;
                }
            }
            // By the clock: a child that always has something to say keeps poll from sleeping.
            if is_over(deadline) {
                return Ok(false);
            }
        }
    }
}

impl Command {
    /// As [`output`](Self::output), for at most `limit`: see
    /// [`Child::wait_with_output_timeout`]. With [`TimeLimit::whole_group`] the child leads a process group, if
    /// [`process_group`](Self::process_group) and [`new_session`](Self::new_session) say nothing of one.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and [`Child::wait_with_output_timeout`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rawthread::process::Command;
    /// let output = Command::new("echo").arg("hello").output_timeout(Duration::from_secs(60))?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// assert!(!output.timed_out);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn output_timeout(&mut self, limit: impl Into<TimeLimit>) -> Result<Output, Error> {
        let limit = limit.into();
        let group = self.settings.process_group;
        if limit.group && group.is_none() && !self.settings.new_session {
            self.settings.process_group = Some(0);
        }
        let spawned = self.spawn_piped();
        self.settings.process_group = group;
        spawned?.wait_with_output_timeout(limit)
    }
}
