//! Follows a program and everything it makes, to the end.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use rawthread::flags::CloneFlags;

use super::interrupt;
use super::machine::Filtering;
use super::proc::{comm, lacks_set_ids, program, thread_group, threads_of};
use super::start::{self, Attached, Started};
use super::task::{CloneRequest, End, Note, Origin, Refusal, Task};
use super::tracee::{self, Report, SyscallStop, Until};

/// What is reported while it happens; numbers are indices of tasks.
#[derive(Clone, Copy, Debug)]
pub(super) enum TraceEvent {
    Made(usize),
    Refused(Refusal),
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
    pub(super) refused: Vec<Refusal>,
    /// What the lab's presence changed for the program.
    pub(super) notes: BTreeSet<Note>,
    /// Which task has a tid now: tids are used again.
    alive: HashMap<i32, usize>,
    /// First reports of tasks whose makers' events have not come yet. They are kept stopped.
    early: HashMap<i32, Report>,
    pending: HashMap<i32, Pending>,
    /// Makers that ended inside their calls, before the event, with what they asked for.
    abandoned: Vec<(usize, CloneRequest)>,
    /// Threads that the lab attached to and that have not stopped yet.
    attaching: BTreeSet<i32>,
    /// Where tasks without a call under way stop next.
    until: Until,
    detaching: bool,
    /// Tasks whose makers could not announce them are being added.
    adopting: bool,
    /// The kernel minds the set-user-ID bits of programs that the lab traces.
    may_set_ids: bool,
}

/// How the traced program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this status of `waitpid`.
    Ended(i32),
    /// The exec of the command failed with this errno.
    NotRun(i32),
    /// The lab detached from it.
    Detached,
}

impl TraceLog {
    /// Follows a command that was started, until the last of its tasks has ended.
    ///
    /// # Errors
    /// The kernel does not describe system calls (before Linux 5.3).
    pub(super) fn follow_command(
        started: &mut Started,
        on_event: impl FnMut(&[Task], TraceEvent),
    ) -> io::Result<(Self, Outcome)> {
        let mut log = Self::new(Until::Event);
        log.add(started.pid, None, Origin::Command, false);
        let outcome = log.run(started.pid, Some(started), on_event)?;
        Ok((log, outcome))
    }

    /// Follows a process that ran before, until its tasks have ended or the lab is interrupted.
    ///
    /// # Errors
    /// The kernel does not describe system calls (before Linux 5.3).
    pub(super) fn follow_attached(
        attached: &Attached,
        on_event: impl FnMut(&[Task], TraceEvent),
    ) -> io::Result<(Self, Outcome)> {
        let mut log = Self::new(Until::Syscall);
        let leader = log.add(attached.pid, None, Origin::Attached, false);
        log.tasks[leader].programs.push(program(attached.pid));
        for &tid in attached.tids.iter().filter(|&&tid| tid != attached.pid) {
            log.add(tid, Some(leader), Origin::Attached, true);
        }
        log.attaching.clone_from(&attached.tids);
        let outcome = log.run(attached.pid, None, on_event)?;
        Ok((log, outcome))
    }

    fn new(until: Until) -> Self {
        Self {
            tasks: Vec::new(),
            refused: Vec::new(),
            notes: BTreeSet::new(),
            alive: HashMap::new(),
            early: HashMap::new(),
            pending: HashMap::new(),
            abandoned: Vec::new(),
            attaching: BTreeSet::new(),
            until,
            detaching: false,
            adopting: false,
            may_set_ids: tracee::may_set_ids(),
        }
    }

    /// For tests: these tasks, and nothing else.
    #[cfg(test)]
    pub(super) fn of(tasks: Vec<Task>) -> Self {
        Self {
            tasks,
            ..Self::new(Until::Event)
        }
    }

    fn add(&mut self, tid: i32, maker: Option<usize>, origin: Origin, is_thread: bool) -> usize {
        let index = self.describe(tid, maker, origin, is_thread);
        self.alive.insert(tid, index);
        index
    }

    /// A task that is known and not followed, for now.
    fn describe(
        &mut self,
        tid: i32,
        maker: Option<usize>,
        origin: Origin,
        is_thread: bool,
    ) -> usize {
        let program = maker.and_then(|maker| self.tasks[maker].programs.last().cloned());
        let index = self.tasks.len();
        self.tasks.push(Task {
            tid,
            maker,
            origin,
            is_thread,
            traced: true,
            filtered: maker.is_some_and(|maker| self.tasks[maker].filtered),
            programs: program.into_iter().collect(),
            name: None,
            end: None,
        });
        index
    }

    /// `starting` is the command, until its exec has been seen.
    fn run(
        &mut self,
        root: i32,
        mut starting: Option<&mut Started>,
        mut on_event: impl FnMut(&[Task], TraceEvent),
    ) -> io::Result<Outcome> {
        let mut outcome = Outcome::Detached;
        loop {
            if interrupt::was_requested() && !self.detaching {
                self.detach_all();
            }
            if self.detaching && self.alive.is_empty() {
                return Ok(outcome);
            }
            let mut name = None;
            let (tid, report) = match tracee::wait_event(|tid| name = comm(tid)) {
                Ok(event) => event,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // No tracee is left. A child that stopped before its maker's event was detached before
                // it was known.
                Err(_) => {
                    for index in self.alive.drain().map(|(_, index)| index) {
                        self.tasks[index].end.get_or_insert(End::Detached);
                    }
                    return Ok(outcome);
                }
            };
            if report == Report::Exec
                && tid == root
                && let Some(started) = starting.take()
            {
                self.until = started.stops();
            }
            if let (Report::Ended(status), true) = (report, tid == root) {
                outcome = match starting.take().and_then(|started| started.failure()) {
                    Some(errno) => Outcome::NotRun(errno),
                    None => Outcome::Ended(status),
                };
            }
            if !self.alive.contains_key(&tid) && !self.detaching {
                // Its maker's event comes later, if any: until then it stays as it is.
                self.early.insert(tid, report);
                self.adopt_abandoned(&mut on_event);
                continue;
            }
            self.handle(tid, report, name, &mut on_event)?;
            if self.attaching.remove(&tid) && self.attaching.is_empty() {
                self.attach_to_late(root);
            }
        }
    }

    fn handle(
        &mut self,
        tid: i32,
        report: Report,
        name: Option<String>,
        on_event: &mut impl FnMut(&[Task], TraceEvent),
    ) -> io::Result<()> {
        let mut signal = 0;
        match report {
            Report::Syscall => {
                if let Some(call) = tracee::call_of(tid)? {
                    self.syscall(tid, call, on_event);
                }
            }
            Report::Made(event) => {
                if let Some(new) = tracee::event_number(tid) {
                    self.on_clone(tid, new, event, on_event);
                }
            }
            Report::Exec => self.exec(tid, on_event),
            Report::Signal(delivered) => signal = delivered,
            Report::Interrupted => {}
            Report::GroupStop if !self.detaching => {
                tracee::listen(tid);
                return Ok(());
            }
            Report::GroupStop => {}
            Report::Ended(status) => {
                if let Some(index) = self.alive.remove(&tid) {
                    self.tasks[index].end = Some(End::from_status(status));
                    self.tasks[index].name = name;
                    self.abandon(index, tid, on_event);
                }
                return Ok(());
            }
        }
        if self.detaching {
            tracee::detach(tid, signal);
            if let Some(index) = self.alive.remove(&tid) {
                self.tasks[index].name = comm(tid);
                self.tasks[index].end = Some(End::Detached);
            }
        } else {
            tracee::resume(tid, self.until_of(tid), signal);
        }
        Ok(())
    }

    /// Where a task stops next: the end of a call that may yet fail is of interest, and every call of
    /// a task whose own filter may refuse some before the lab's sees them.
    fn until_of(&self, tid: i32) -> Until {
        match self.pending.get(&tid) {
            Some(pending) if !pending.reported => Until::Syscall,
            _ if self.is_filtered(tid) => Until::Syscall,
            _ => self.until,
        }
    }

    fn is_filtered(&self, tid: i32) -> bool {
        let index = self.alive.get(&tid);
        index.is_some_and(|&index| self.tasks[index].filtered)
    }

    /// A task asks for a filter. From now on each of its calls stops it: a filter that refuses a call
    /// hides it from the lab's.
    fn filters(&mut self, tid: i32, filtering: Filtering) {
        let tids = match filtering {
            Filtering::Thread => vec![tid],
            Filtering::Process => threads_of(tid),
            // Not in force: the kernel refuses it to a task that has a filter.
            Filtering::Strict => {
                if self.until == Until::Event {
                    self.notes.insert(Note::StrictMode);
                }
                return;
            }
        };
        for other in tids {
            if let Some(&index) = self.alive.get(&other) {
                self.tasks[index].filtered = true;
                // It may run to its next event: it is stopped, to be resumed in the other way.
                if other != tid {
                    tracee::interrupt(other);
                }
            }
        }
    }

    fn syscall(
        &mut self,
        tid: i32,
        call: SyscallStop,
        on_event: &mut impl FnMut(&[Task], TraceEvent),
    ) {
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
                let (Some(pending), Some(&maker)) =
                    (self.pending.remove(&tid), self.alive.get(&tid))
                else {
                    return;
                };
                let Pending { request, since, .. } = pending;
                if pending.reported || tracee::is_restart(value) {
                    // Known already, or made again after a signal.
                } else if value < 0 {
                    let refusal = Refusal {
                        maker,
                        request,
                        errno: -value as i32,
                    };
                    self.refused.push(refusal);
                    on_event(&self.tasks, TraceEvent::Refused(refusal));
                } else {
                    self.made_untraced(maker, value as i32, request, since.elapsed(), on_event);
                }
                self.adopt_abandoned(on_event);
            }
            SyscallStop::Filters(filtering) => self.filters(tid, filtering),
            SyscallStop::Other => {}
        }
    }

    /// CLONE_UNTRACED: known by the number alone that its maker sees, in its own pid namespace. In the
    /// lab's that may be another task's.
    fn made_untraced(
        &mut self,
        maker: usize,
        tid: i32,
        request: CloneRequest,
        took: Duration,
        on_event: &mut impl FnMut(&[Task], TraceEvent),
    ) {
        let is_thread = request.flags.contains(CloneFlags::THREAD);
        let took = Some(took);
        let index = self.describe(tid, Some(maker), Origin::Made { request, took }, is_thread);
        self.tasks[index].traced = false;
        on_event(&self.tasks, TraceEvent::Made(index));
    }

    /// The event of a fork, vfork or clone.
    fn on_clone(
        &mut self,
        tid: i32,
        new: i32,
        event: i32,
        on_event: &mut impl FnMut(&[Task], TraceEvent),
    ) {
        let Some(&maker) = self.alive.get(&tid) else {
            return;
        };
        match self.pending.get_mut(&tid) {
            Some(pending) => {
                pending.reported = true;
                let took = Some(pending.since.elapsed());
                let mut request = pending.request;
                if !request.readable {
                    (request.flags, request.exit_signal) = tracee::known_by_event(event);
                }
                if self.until_of(tid) == Until::Event {
                    self.pending.remove(&tid);
                }
                self.made(maker, new, request, took, on_event);
            }
            None => self.unseen(maker, new, on_event),
        }
        self.release_early(new, on_event);
        self.adopt_abandoned(on_event);
    }

    /// A task is there that `request` made.
    fn made(
        &mut self,
        maker: usize,
        tid: i32,
        request: CloneRequest,
        took: Option<Duration>,
        on_event: &mut impl FnMut(&[Task], TraceEvent),
    ) -> usize {
        let is_thread = if request.readable {
            request.flags.contains(CloneFlags::THREAD)
        } else {
            thread_group(tid).is_some_and(|group| group != tid)
        };
        let origin = Origin::Made { request, took };
        let index = self.add(tid, Some(maker), origin, is_thread);
        on_event(&self.tasks, TraceEvent::Made(index));
        index
    }

    /// Handles what a task reported before its maker's event.
    fn release_early(&mut self, tid: i32, on_event: &mut impl FnMut(&[Task], TraceEvent)) {
        if let Some(report) = self.early.remove(&tid) {
            // A first stop is no system call: nothing of it can fail.
            let _ = self.handle(tid, report, None, on_event);
        }
    }

    /// `index` ended; if inside a call, the kernel will not say what the call made.
    fn abandon(&mut self, index: usize, tid: i32, on_event: &mut impl FnMut(&[Task], TraceEvent)) {
        match self.pending.remove(&tid) {
            Some(pending) if !pending.reported => self.abandoned.push((index, pending.request)),
            _ => {}
        }
        self.adopt_abandoned(on_event);
    }

    /// Once no call is under way that could announce the tasks that wait, they belong to makers that
    /// were killed inside their calls; the last one first. A killed maker may have made none.
    fn adopt_abandoned(&mut self, on_event: &mut impl FnMut(&[Task], TraceEvent)) {
        if self.early.is_empty() || self.pending.values().any(|pending| !pending.reported) {
            return;
        }
        // A task that has ended already brings its own early tasks here: the loop below takes them.
        if std::mem::replace(&mut self.adopting, true) {
            return;
        }
        while let Some(&tid) = self.early.keys().next() {
            match self.abandoned.pop() {
                Some((maker, request)) => {
                    self.made(maker, tid, request, None, on_event);
                }
                None => self.unseen(0, tid, on_event),
            }
            self.release_early(tid, on_event);
        }
        self.adopting = false;
    }

    /// Attaches to threads whose makers were inside the call when the lab attached to them: such a
    /// thread is not traced, and there was no later list to find it in.
    fn attach_to_late(&mut self, pid: i32) {
        let mut tids: BTreeSet<i32> = self.alive.keys().copied().collect();
        let Ok(late) = start::seize_threads(pid, &mut tids) else {
            return;
        };
        let leader = self.alive.get(&pid).copied();
        for tid in late {
            self.add(tid, leader, Origin::Attached, true);
        }
    }

    /// A task is there, but its call was not seen.
    fn unseen(&mut self, maker: usize, tid: i32, on_event: &mut impl FnMut(&[Task], TraceEvent)) {
        let is_thread = thread_group(tid).is_some_and(|group| group != tid);
        let index = self.add(tid, Some(maker), Origin::Unseen, is_thread);
        on_event(&self.tasks, TraceEvent::Made(index));
    }

    /// After an exec the task has its group's pid, whichever thread it was.
    fn exec(&mut self, tid: i32, on_event: &mut impl FnMut(&[Task], TraceEvent)) {
        let Some(&index) = self.alive.get(&tid) else {
            return;
        };
        self.tasks[index].programs.push(program(tid));
        if !self.may_set_ids && lacks_set_ids(tid) {
            self.notes.insert(Note::SetId);
        }
        self.abandon(index, tid, on_event);
        let former = tracee::event_number(tid).unwrap_or(tid);
        if former != tid
            && let Some(thread) = self.alive.remove(&former)
        {
            self.tasks[thread].end = Some(End::Exec);
            self.abandon(thread, former, on_event);
        }
    }

    /// Interrupts every task: the tracer can detach only from a stopped one.
    fn detach_all(&mut self) {
        self.detaching = true;
        for &tid in self.alive.keys() {
            tracee::interrupt(tid);
        }
        for tid in std::mem::take(&mut self.early).into_keys() {
            tracee::detach(tid, 0);
        }
    }
}
