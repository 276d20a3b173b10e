//! The observer: a thread beside the maker that looks at what the child changed, and at the child.
//!
//! It is not the maker, because a maker that is suspended (`CLONE_VFORK`) cannot look.
mod recorder;
mod relations;
mod sharing;

use std::thread::sleep;

use super::fixture::Fixture;
use super::observation::Observation;
use super::proc;
use crate::syscall;
use recorder::{NAP, Recorder};

/// What was seen of one child.
pub(super) struct Observations {
    pub(super) observations: Vec<Observation>,
    /// What the maker's buffer read after the child had written its own text.
    pub(super) buffer: String,
}

/// Observes one child from its report to its end.
pub(super) fn observe(fixture: &'static Fixture) -> Observations {
    let mut recorder = Recorder::default();
    let _ = syscall::read_byte(fixture.ready.0);
    let tid = fixture.fields.tid().unwrap_or(0);
    // First: a maker that runs on may do so at any time, a suspended one never until we say go.
    recorder.maker(fixture);
    let buffer = fixture.buffer.read();
    recorder.memory_and_files(fixture, tid);
    recorder.directories(fixture, tid);
    recorder.handlers(fixture, tid);
    recorder.mask_and_pending(fixture);
    recorder.identity(fixture, tid);
    recorder.contexts(fixture, tid);
    recorder.registrations(fixture);
    recorder.clocks(fixture);
    recorder.namespaces(fixture, tid);
    let _ = syscall::write_byte(fixture.go.1);
    if fixture.plan.root {
        let _ = syscall::read_byte(fixture.ready.0);
        recorder.root(fixture);
        let _ = syscall::write_byte(fixture.go.1);
    }
    wait_for_the_end(fixture, tid);
    recorder.waits(tid);
    recorder.undo(fixture);
    let _ = syscall::write_byte(fixture.finished.1);
    Observations {
        observations: recorder.observations,
        buffer,
    }
}

/// Until the kernel has taken the child apart: a zombie, or no trace of it.
fn wait_for_the_end(fixture: &Fixture, tid: i32) {
    loop {
        match proc::stat(fixture.proc, tid, 3).as_deref() {
            None | Some("Z" | "X") => return,
            Some(_) => sleep(NAP),
        }
    }
}
