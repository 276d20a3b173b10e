//! What came of a row.

use super::rows::Row;
use crate::probe::{self, Comparison, Outcome, Property};

/// The columns of the table: what is looked at in every row.
pub(super) const COLUMNS: [Property; 8] = [
    Property::Memory,
    Property::Descriptors,
    Property::Directory,
    Property::Handlers,
    Property::Group,
    Property::Undo,
    Property::Wait,
    Property::Maker,
];

/// One row, made and looked at; or one line why it was not.
pub(super) struct RowResult {
    pub(super) row: &'static Row,
    pub(super) outcome: Result<Outcome, String>,
}

impl RowResult {
    pub(super) fn of(row: &'static Row) -> Self {
        Self {
            row,
            outcome: probe::run(row.plan()),
        }
    }

    pub(super) fn comparisons(&self) -> &[Comparison] {
        match &self.outcome {
            Ok(Outcome::Made { comparisons, .. }) => comparisons,
            _ => &[],
        }
    }

    pub(super) fn comparison(&self, property: Property) -> Option<&Comparison> {
        self.comparisons()
            .iter()
            .find(|comparison| comparison.observation.property == property)
    }

    /// Why the row was not made, if it was not.
    pub(super) fn failure(&self) -> Option<&str> {
        match &self.outcome {
            Ok(Outcome::Made { .. }) => None,
            Ok(Outcome::Refused(refusal)) => Some(&refusal.why),
            Err(why) => Some(why),
        }
    }

    /// Whether the row is not as it should be: something was predicted wrongly, or it could not be
    /// made though no right is missing.
    pub(super) fn is_wrong(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Refused(refusal)) => !refusal.is_environmental(),
            Ok(outcome) => outcome.is_mismatch(),
            Err(_) => true,
        }
    }

    /// Whether the experiment broke off, which says nothing of the row.
    pub(super) fn is_unfinished(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Refused(refusal)) => refusal.errno.is_none(),
            Ok(_) => false,
            Err(_) => true,
        }
    }
}
