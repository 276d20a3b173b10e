//! One experiment, from the plan to the comparison of what was predicted with what was observed.

use rawthread::process::ExitStatus;

use super::observation::{Comparison, Observation, Observed};
use super::plan::{Plan, Refusal};
use super::property::Property;
use super::{child, fixture, observation, observe, predict, spawn};
use crate::json::Json;
use crate::subprocess;

/// What came of a plan.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The task was made and looked at.
    Made {
        comparisons: Vec<Comparison>,
        /// What the maker's buffer read after the child had written its own text.
        buffer: String,
    },
    /// It was not made.
    Refused(Refusal),
}

impl Outcome {
    /// Whether prediction and observation differ somewhere. A task that was not made
    /// shows nothing.
    pub(crate) fn is_mismatch(&self) -> bool {
        match self {
            Self::Made { comparisons, .. } => comparisons.iter().any(Comparison::is_mismatch),
            Self::Refused(_) => false,
        }
    }
}

/// Makes the task and looks at it.
///
/// # Errors
/// One line: the experiment itself failed.
pub(crate) fn run(plan: Plan) -> Result<Outcome, String> {
    let report = subprocess::run_in_fork(|| perform(plan))?;
    let (observations, buffer) = match observation::read(&report)? {
        observation::Report::Made(observations, buffer) => (observations, buffer),
        observation::Report::Refused(why) => return Ok(Outcome::Refused(why)),
    };
    let comparisons = observations
        .into_iter()
        .map(|observation| Comparison {
            predicted: predict::predict(plan, observation.property),
            observation,
        })
        .collect();
    Ok(Outcome::Made {
        comparisons,
        buffer,
    })
}

/// The experiment, in its own process.
fn perform(plan: Plan) -> String {
    let fixture = fixture::Fixture::set_up(plan);
    let observer = std::thread::Builder::new().spawn(move || observe::observe(fixture));
    let observer = match observer {
        Ok(observer) => observer,
        Err(error) => {
            return observation::write_refusal(&Refusal::new(format!(
                "there is no thread to observe from: {error}"
            )));
        }
    };
    let report = match spawn::spawn(fixture) {
        Ok(end) => match observer.join() {
            Ok(mut recorded) => {
                recorded.observations.push(exit_observation(end));
                observation::write(&recorded.observations, &recorded.buffer)
            }
            Err(_) => observation::write_refusal(&Refusal::new("the observer died")),
        },
        // The observer waits for a child that does not exist; it ends with this process.
        Err(why) => observation::write_refusal(&why),
    };
    fixture.tear_down();
    report
}

/// How the child ended, as one more observation.
fn exit_observation(end: spawn::ExitInfo) -> Observation {
    let (observed, proof) = match end {
        Err(why) => (Observed::Unavailable, why.to_owned()),
        Ok(raw) => {
            let status = ExitStatus::from_raw(raw);
            let word = match status.code() {
                Some(child::EXEC_STATUS) => "execve".into(),
                Some(child::STATUS) => "exit".into(),
                _ => status.to_string(),
            };
            (
                Observed::Word(word),
                format!("its maker waited for it: {status}"),
            )
        }
    };
    Observation {
        property: Property::End,
        observed,
        proof,
    }
}

/// Findings for programs; what could not be seen is observed as null.
pub(crate) fn to_json(comparisons: &[Comparison]) -> Json {
    Json::list(comparisons.iter().map(|comparison| {
        let observed = match &comparison.observation.observed {
            Observed::Word(word) => Some(word.as_str()),
            Observed::Unavailable => None,
        };
        Json::Object(vec![
            ("aspect", Json::text(comparison.observation.property.id())),
            ("predicted", Json::text(&comparison.predicted)),
            ("observed", Json::maybe(observed)),
            ("differs", Json::Bool(comparison.is_mismatch())),
            ("how", Json::text(&comparison.observation.proof)),
        ])
    }))
}
