//! The watcher: a thread beside the maker that looks at what the child changed, and at the child.
//!
//! It is not the maker, because a maker that is suspended (`CLONE_VFORK`) cannot look.
mod relations;
mod sharing;

use std::thread::sleep;
use std::time::Duration;

use super::fixture::Fixture;
use super::proc;
use super::property::Property;
use super::{Observation, Observed};
use crate::syscall;
pub(crate) use relations::signal_word;

/// Between two looks at something that is about to change.
const NAP: Duration = Duration::from_micros(200);

/// What was seen of one child.
pub(super) struct Observations {
    pub(super) observations: Vec<Observation>,
    /// What the maker's buffer read after the child had written its own text.
    pub(super) buffer: String,
}

/// Watches one child from its report to its end, and says what was seen.
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

/// The findings so far.
#[derive(Default)]
struct Recorder {
    observations: Vec<Observation>,
    /// Asked while the child lives; the other witness speaks after its end.
    same_undo_list: Option<bool>,
}

impl Recorder {
    fn record(&mut self, property: Property, word: impl Into<String>, proof: impl Into<String>) {
        self.observations.push(Observation {
            property,
            observed: Observed::Word(word.into()),
            proof: proof.into(),
        });
    }

    fn unavailable(&mut self, property: Property, why: impl Into<String>) {
        self.observations.push(Observation {
            property,
            observed: Observed::Unavailable,
            proof: why.into(),
        });
    }

    /// Two witnesses: what became of the child's change, and kcmp. If they disagree, the word is
    /// both of theirs, which no prediction fits.
    fn shared_or_copied(
        &mut self,
        property: Property,
        shared: bool,
        kcmp: Option<bool>,
        mut proof: String,
    ) {
        let word = |shared| if shared { "shared" } else { "copied" };
        if let Some(same) = kcmp {
            proof += if same {
                "; kcmp: the same object"
            } else {
                "; kcmp: two objects"
            };
        }
        match kcmp {
            Some(same) if same != shared => {
                let both = format!("{}, kcmp says {}", word(shared), word(same));
                self.record(property, both, proof);
            }
            _ => self.record(property, word(shared), proof),
        }
    }
}
