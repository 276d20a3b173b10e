//! Collects the observations of one child.

use std::time::Duration;

use crate::probe::observation::{Observation, Observed};
use crate::probe::property::Property;

/// Between two looks at something that is about to change.
pub(super) const NAP: Duration = Duration::from_micros(200);

/// The findings so far.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) observations: Vec<Observation>,
    /// Asked while the child lives; the other witness speaks after its end.
    pub(super) same_undo_list: Option<bool>,
}

impl Recorder {
    pub(super) fn record(
        &mut self,
        property: Property,
        word: impl Into<String>,
        proof: impl Into<String>,
    ) {
        self.observations.push(Observation {
            property,
            observed: Observed::Word(word.into()),
            proof: proof.into(),
        });
    }

    pub(super) fn unavailable(&mut self, property: Property, why: impl Into<String>) {
        self.observations.push(Observation {
            property,
            observed: Observed::Unavailable,
            proof: why.into(),
        });
    }

    /// Two witnesses: what became of the child's change, and kcmp. If they disagree, the word is
    /// both of theirs, which no prediction fits.
    pub(super) fn shared_or_copied(
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
