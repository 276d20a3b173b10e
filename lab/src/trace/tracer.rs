//! Follows a program and everything it makes, to the end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::tracee::{self, CloneRequest, Report, SyscallStop};

/// A task that was seen.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) tid: i32,
    /// Its maker and how it was made; `None` for the command itself.
    pub(super) made: Option<(usize, CloneRequest)>,
    /// The programs it became, in order.
    pub(super) programs: Vec<String>,
}

/// Something to tell while it happens.
#[derive(Debug)]
pub(super) enum TraceEvent<'a> {
    /// A task was made, this long after the call began.
    Made {
        maker: &'a Task,
        task: &'a Task,
        request: CloneRequest,
        took: Duration,
    },
    /// The kernel refused, with this errno.
    Refused {
        maker: &'a Task,
        request: CloneRequest,
        errno: i32,
    },
}

/// A call that is under way.
struct Pending {
    request: CloneRequest,
    since: Instant,
    /// The task it made is known already.
    reported: bool,
}

/// Everything that was seen.
pub(super) struct TraceLog {
    pub(super) tasks: Vec<Task>,
    /// Which task has a tid now: tids are used again.
    alive: HashMap<i32, usize>,
    /// Tasks that stopped before their maker's report came.
    early: Vec<i32>,
    /// Tasks whose first stop has not come yet.
    unstopped: Vec<i32>,
    pending: HashMap<i32, Pending>,
}

/// The name of the program that `tid` runs.
fn program(tid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{tid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

impl TraceLog {
    /// Follows the traced program `root`, which is stopped after its exec, until the last of its
    /// tasks has ended. Gives the story and the command's wait status.
    ///
    /// # Errors
    /// The kernel cannot tell system calls (before Linux 5.3), or ptrace fails.
    pub(super) fn follow(
        root: i32,
        mut on_event: impl FnMut(TraceEvent<'_>),
    ) -> io::Result<(Self, i32)> {
        let first = Task {
            tid: root,
            made: None,
            programs: vec![program(root)],
        };
        let mut log = Self {
            tasks: vec![first],
            alive: HashMap::from([(root, 0)]),
            early: Vec::new(),
            unstopped: Vec::new(),
            pending: HashMap::new(),
        };
        tracee::follow(root)?;
        tracee::resume(root, 0);
        let mut status = 0;
        while let Some((tid, report)) = tracee::wait_event() {
            match report {
                Report::Syscall => {
                    log.syscall(tid, tracee::call_of(tid)?, &mut on_event);
                    tracee::resume(tid, 0);
                }
                Report::Made => {
                    if let Some(new) = tracee::event_number(tid) {
                        log.on_clone(tid, new, &mut on_event);
                    }
                    tracee::resume(tid, 0);
                }
                Report::Exec => {
                    log.exec(tid);
                    tracee::resume(tid, 0);
                }
                Report::Signal(signal) => {
                    let signal = log.signal(tid, signal);
                    tracee::resume(tid, signal);
                }
                Report::Ended(ended) => {
                    if tid == root {
                        status = ended;
                    }
                    log.alive.remove(&tid);
                    log.pending.remove(&tid);
                }
            }
        }
        Ok((log, status))
    }

    fn syscall(&mut self, tid: i32, call: SyscallStop, on_event: &mut impl FnMut(TraceEvent<'_>)) {
        match call {
            SyscallStop::CloneEntry(request) => {
                let pending = Pending {
                    request,
                    since: Instant::now(),
                    reported: false,
                };
                self.pending.insert(tid, pending);
            }
            SyscallStop::Ended(value) => {
                let Some(pending) = self.pending.remove(&tid) else {
                    return;
                };
                let Some(&maker) = self.alive.get(&tid) else {
                    return;
                };
                if value < 0 {
                    on_event(TraceEvent::Refused {
                        maker: &self.tasks[maker],
                        request: pending.request,
                        errno: -value as i32,
                    });
                } else if !pending.reported {
                    // CLONE_UNTRACED: it runs free, and is known by its number alone.
                    let took = pending.since.elapsed();
                    self.enter(maker, value as i32, pending.request, took, on_event);
                    self.alive.remove(&(value as i32));
                }
            }
            SyscallStop::Other => {}
        }
    }

    /// The event of a fork, vfork or clone.
    fn on_clone(&mut self, tid: i32, new: i32, on_event: &mut impl FnMut(TraceEvent<'_>)) {
        let (Some(&maker), Some(pending)) = (self.alive.get(&tid), self.pending.get_mut(&tid))
        else {
            return;
        };
        pending.reported = true;
        let (request, took) = (pending.request, pending.since.elapsed());
        self.enter(maker, new, request, took, on_event);
        match self.early.iter().position(|&early| early == new) {
            Some(index) => drop(self.early.swap_remove(index)),
            None => self.unstopped.push(new),
        }
    }

    /// A new task enters the story.
    fn enter(
        &mut self,
        maker: usize,
        tid: i32,
        request: CloneRequest,
        took: Duration,
        on_event: &mut impl FnMut(TraceEvent<'_>),
    ) {
        let name = self.tasks[maker].programs.last().cloned();
        self.alive.insert(tid, self.tasks.len());
        self.tasks.push(Task {
            tid,
            made: Some((maker, request)),
            programs: name.into_iter().collect(),
        });
        if let [.., task] = &self.tasks[..] {
            on_event(TraceEvent::Made {
                maker: &self.tasks[maker],
                task,
                request,
                took,
            });
        }
    }

    /// After an exec the task has its group's pid, whichever thread it was.
    fn exec(&mut self, tid: i32) {
        if let Some(&index) = self.alive.get(&tid) {
            self.tasks[index].programs.push(program(tid));
        }
        self.pending.remove(&tid);
    }

    /// The signal to deliver: not the stop with which every new tracee begins.
    fn signal(&mut self, tid: i32, signal: i32) -> i32 {
        if signal == libc::SIGSTOP {
            if let Some(index) = self
                .unstopped
                .iter()
                .position(|&unstopped| unstopped == tid)
            {
                self.unstopped.swap_remove(index);
                return 0;
            }
            if !self.alive.contains_key(&tid) {
                self.early.push(tid);
                return 0;
            }
        }
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        if stops.contains(&signal) && tracee::is_group_stop(tid) {
            return 0;
        }
        signal
    }
}
