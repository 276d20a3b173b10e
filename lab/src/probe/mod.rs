//! One task made for real, and what the kernel says about it, beside what its flags foretold.
//!
//! Three take part: the *maker* calls clone, the *child* tries to change everything (`child`), and
//! the *watcher*, a thread beside the maker, looks what came of it (`observe`). All of them live in a
//! process of their own (`crate::subprocess`).

pub(crate) mod child;
pub(crate) mod command;
mod fixture;
mod observation;
mod observe;
mod predict;
mod proc;
mod property;
mod spawn;

use rawthread::flags::CloneFlags;
use rawthread::process::ExitStatus;

pub(crate) use observation::{Comparison, Observation, Observed};
pub(crate) use observe::signal_word;
pub(crate) use property::Property;

use crate::json::Json;
use crate::subprocess;

/// How the task is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpawnMethod {
    /// `rawthread::process::fork`.
    Fork,
    /// `rawthread::process::Builder`.
    Process,
    /// libc's `clone()`, for a thread without any runtime.
    Clone,
    /// `std::thread::spawn`, which is `pthread_create`.
    PosixThread,
    /// `rawthread::spawn`.
    Library,
}

/// What to make and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) flags: CloneFlags,
    pub(crate) exit_signal: u32,
    pub(crate) method: SpawnMethod,
    /// The child becomes another program in the end.
    pub(crate) exec: bool,
    /// Look at the root directory too.
    pub(crate) root: bool,
}

impl Plan {
    /// Whether nothing is left of the child for its maker to wait for.
    ///
    /// The init of a pid namespace sets SIGCHLD to be ignored when it ends, so that the processes
    /// it kills leave no zombies (`kernel/pid_namespace.c`, `zap_pid_ns_processes`). If it shares
    /// its maker's handlers, its maker ignores SIGCHLD from then on, and init itself leaves none.
    fn leaves_no_zombie(self) -> bool {
        self.flags
            .contains(CloneFlags::NEWPID | CloneFlags::SIGHAND)
            && self.exit_signal == libc::SIGCHLD as u32
    }
}

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

/// Why a task was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One line.
    pub(crate) why: String,
    /// The kernel's answer, if it was the kernel's.
    pub(crate) errno: Option<i32>,
}

impl Refusal {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            errno: None,
        }
    }

    /// Whether a right, a limit or a sandbox stood in the way: somebody else, or the same user
    /// elsewhere, could have made the task.
    pub(crate) fn is_environmental(&self) -> bool {
        const WANTS: [i32; 4] = [libc::EPERM, libc::ENOSPC, libc::ENOSYS, libc::EAGAIN];
        self.errno.is_some_and(|errno| WANTS.contains(&errno))
    }
}

impl From<rawthread::Error> for Refusal {
    fn from(error: rawthread::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            why: error.to_string(),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            why: error.to_string(),
        }
    }
}

impl Outcome {
    /// Whether what was foretold and what was seen differ somewhere. A task that nobody made
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
    if fixture.proc < 0 {
        return observation::write_refusal(&Refusal::new(
            "/proc is not mounted, and the lab looks there",
        ));
    }
    let observer = std::thread::spawn(move || observe::observe(fixture));
    let report = match spawn::spawn(fixture) {
        Ok(end) => match observer.join() {
            Ok(mut recorded) => {
                recorded.observations.push(exit_observation(end));
                observation::write(&recorded.observations, &recorded.buffer)
            }
            Err(_) => observation::write_refusal(&Refusal::new("the watcher died")),
        },
        // The watcher waits for a child that never was; it ends with this process.
        Err(why) => observation::write_refusal(&why),
    };
    fixture.tear_down();
    report
}

/// How the child ended, as one more fact.
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
