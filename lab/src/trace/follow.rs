//! Follows a program and everything it makes, to the end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::tracee::{self, Asked, Call, Report};

/// A task that was seen.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) tid: i32,
    /// Its maker and how it was made; `None` for the command itself.
    pub(super) made: Option<(usize, Asked)>,
    /// The programs it became, in order.
    pub(super) programs: Vec<String>,
}

/// Something to tell while it happens.
#[derive(Debug)]
pub(super) enum News<'a> {
    /// A task was made, this long after the call began.
    Made {
        maker: &'a Task,
        task: &'a Task,
        asked: Asked,
        took: Duration,
    },
    /// The kernel refused, with this errno.
    Refused {
        maker: &'a Task,
        asked: Asked,
        errno: i32,
    },
}

/// A call that is under way.
struct Pending {
    asked: Asked,
    since: Instant,
    /// The task it made is known already.
    told: bool,
}

/// Everything that was seen.
pub(super) struct Story {
    pub(super) tasks: Vec<Task>,
    /// Which task has a tid now: tids are used again.
    alive: HashMap<i32, usize>,
    /// Tasks that stopped before their maker's report came.
    early: Vec<i32>,
    /// Tasks whose first stop has not come yet.
    unborn: Vec<i32>,
    pending: HashMap<i32, Pending>,
}

/// The name of the program that `tid` runs.
fn program(tid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{tid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

impl Story {
    /// Follows the traced program `root`, which is stopped after its exec, until the last of its
    /// tasks has ended. Gives the story and the command's wait status.
    ///
    /// # Errors
    /// The kernel cannot tell system calls (before Linux 5.3), or ptrace fails.
    pub(super) fn follow(root: i32, mut tell: impl FnMut(News<'_>)) -> io::Result<(Self, i32)> {
        let first = Task {
            tid: root,
            made: None,
            programs: vec![program(root)],
        };
        let mut story = Self {
            tasks: vec![first],
            alive: HashMap::from([(root, 0)]),
            early: Vec::new(),
            unborn: Vec::new(),
            pending: HashMap::new(),
        };
        tracee::follow(root)?;
        tracee::resume(root, 0);
        let mut status = 0;
        while let Some((tid, report)) = tracee::next() {
            match report {
                Report::Syscall => {
                    story.syscall(tid, tracee::call_of(tid)?, &mut tell);
                    tracee::resume(tid, 0);
                }
                Report::Made => {
                    if let Some(new) = tracee::event_number(tid) {
                        story.made(tid, new, &mut tell);
                    }
                    tracee::resume(tid, 0);
                }
                Report::Exec => {
                    story.exec(tid);
                    tracee::resume(tid, 0);
                }
                Report::Signal(signal) => {
                    let signal = story.signal(tid, signal);
                    tracee::resume(tid, signal);
                }
                Report::Ended(ended) => {
                    if tid == root {
                        status = ended;
                    }
                    story.alive.remove(&tid);
                    story.pending.remove(&tid);
                }
            }
        }
        Ok((story, status))
    }

    fn syscall(&mut self, tid: i32, call: Call, tell: &mut impl FnMut(News<'_>)) {
        match call {
            Call::Making(asked) => {
                let pending = Pending {
                    asked,
                    since: Instant::now(),
                    told: false,
                };
                self.pending.insert(tid, pending);
            }
            Call::Ended(value) => {
                let Some(pending) = self.pending.remove(&tid) else {
                    return;
                };
                let Some(&maker) = self.alive.get(&tid) else {
                    return;
                };
                if value < 0 {
                    tell(News::Refused {
                        maker: &self.tasks[maker],
                        asked: pending.asked,
                        errno: -value as i32,
                    });
                } else if !pending.told {
                    // CLONE_UNTRACED: it runs free, and is known by its number alone.
                    let took = pending.since.elapsed();
                    self.enter(maker, value as i32, pending.asked, took, tell);
                    self.alive.remove(&(value as i32));
                }
            }
            Call::Other => {}
        }
    }

    /// The event of a fork, vfork or clone.
    fn made(&mut self, tid: i32, new: i32, tell: &mut impl FnMut(News<'_>)) {
        let (Some(&maker), Some(pending)) = (self.alive.get(&tid), self.pending.get_mut(&tid))
        else {
            return;
        };
        pending.told = true;
        let (asked, took) = (pending.asked, pending.since.elapsed());
        self.enter(maker, new, asked, took, tell);
        match self.early.iter().position(|&early| early == new) {
            Some(index) => drop(self.early.swap_remove(index)),
            None => self.unborn.push(new),
        }
    }

    /// A new task enters the story.
    fn enter(
        &mut self,
        maker: usize,
        tid: i32,
        asked: Asked,
        took: Duration,
        tell: &mut impl FnMut(News<'_>),
    ) {
        let name = self.tasks[maker].programs.last().cloned();
        self.alive.insert(tid, self.tasks.len());
        self.tasks.push(Task {
            tid,
            made: Some((maker, asked)),
            programs: name.into_iter().collect(),
        });
        if let [.., task] = &self.tasks[..] {
            tell(News::Made {
                maker: &self.tasks[maker],
                task,
                asked,
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
            if let Some(index) = self.unborn.iter().position(|&unborn| unborn == tid) {
                self.unborn.swap_remove(index);
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
