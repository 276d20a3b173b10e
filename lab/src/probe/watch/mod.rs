//! The watcher: a thread beside the maker that looks at what the child changed, and at the child.
//!
//! It is not the maker, because a maker that is suspended (`CLONE_VFORK`) cannot look.
mod sharing;
mod standing;

use std::thread::sleep;
use std::time::Duration;

use super::aspect::Aspect;
use super::proc;
use super::scene::Scene;
use super::{Fact, Seen};
use crate::raw;
pub(crate) use standing::signal_word;

/// Between two looks at something that is about to change.
const NAP: Duration = Duration::from_micros(200);

/// What was seen of one child.
pub(super) struct Watched {
    pub(super) facts: Vec<Fact>,
    /// What the maker's buffer read after the child had written its own text.
    pub(super) buffer: String,
}

/// Watches one child from its report to its end, and says what was seen.
pub(super) fn watch(scene: &'static Scene) -> Watched {
    let mut facts = Facts::default();
    let _ = raw::read_byte(scene.ready.0);
    let tid = scene.notes.tid().unwrap_or(0);
    // First: a maker that runs on may do so at any time, a suspended one never until we say go.
    facts.maker(scene);
    let buffer = scene.buffer.read();
    facts.memory_and_files(scene, tid);
    facts.directories(scene, tid);
    facts.handlers(scene, tid);
    facts.mask_and_pending(scene);
    facts.identity(scene, tid);
    facts.contexts(scene, tid);
    facts.registrations(scene);
    facts.namespaces(scene, tid);
    let _ = raw::write_byte(scene.go.1);
    if scene.plan.root {
        let _ = raw::read_byte(scene.ready.0);
        facts.root(scene);
        let _ = raw::write_byte(scene.go.1);
    }
    wait_for_the_end(scene, tid);
    facts.waits(tid);
    facts.undo(scene);
    let _ = raw::write_byte(scene.finished.1);
    Watched {
        facts: facts.facts,
        buffer,
    }
}

/// Until the kernel has taken the child apart: a zombie, or no trace of it.
fn wait_for_the_end(scene: &Scene, tid: i32) {
    loop {
        match proc::stat(scene.proc, tid, 3).as_deref() {
            None | Some("Z" | "X") => return,
            Some(_) => sleep(NAP),
        }
    }
}

/// The findings so far.
#[derive(Default)]
struct Facts {
    facts: Vec<Fact>,
    /// Asked while the child lives; the other witness speaks after its end.
    same_undo_list: Option<bool>,
}

impl Facts {
    fn saw(&mut self, aspect: Aspect, word: impl Into<String>, proof: impl Into<String>) {
        self.facts.push(Fact {
            aspect,
            seen: Seen::Word(word.into()),
            proof: proof.into(),
        });
    }

    fn could_not_see(&mut self, aspect: Aspect, why: impl Into<String>) {
        self.facts.push(Fact {
            aspect,
            seen: Seen::Nothing,
            proof: why.into(),
        });
    }

    /// Two witnesses: what became of the child's change, and kcmp. If they disagree, the word is
    /// both of theirs, which no prediction fits.
    fn shared_or_copied(
        &mut self,
        aspect: Aspect,
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
                self.saw(aspect, both, proof);
            }
            _ => self.saw(aspect, word(shared), proof),
        }
    }
}
