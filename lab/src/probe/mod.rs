//! One task made for real, and what the kernel says about it, beside what its flags foretold.
//!
//! Three take part: the *maker* calls clone, the *child* tries to change everything (`act`), and
//! the *watcher*, a thread beside the maker, looks what came of it (`watch`). All of them live in a
//! process of their own (`crate::stage`).

pub(crate) mod act;
mod aspect;
mod fact;
mod make;
mod predict;
mod proc;
mod scene;
pub(crate) mod show;
mod watch;

use rawthread::flags::CloneFlags;
use rawthread::process::ExitStatus;

pub(crate) use aspect::Aspect;
pub(crate) use fact::{Fact, Finding, Seen};
pub(crate) use watch::signal_word;

use crate::json::Json;
use crate::stage;

/// How the task is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
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
    pub(crate) way: Way,
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
        findings: Vec<Finding>,
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
    pub(crate) fn is_for_want_of_a_right(&self) -> bool {
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
    pub(crate) fn differs(&self) -> bool {
        match self {
            Self::Made { findings, .. } => findings.iter().any(Finding::differs),
            Self::Refused(_) => false,
        }
    }
}

/// Makes the task and looks at it.
///
/// # Errors
/// One line: the experiment itself failed.
pub(crate) fn run(plan: Plan) -> Result<Outcome, String> {
    let report = stage::apart(|| perform(plan))?;
    let (facts, buffer) = match fact::read(&report)? {
        fact::Report::Made(facts, buffer) => (facts, buffer),
        fact::Report::Refused(why) => return Ok(Outcome::Refused(why)),
    };
    let findings = facts
        .into_iter()
        .map(|fact| Finding {
            foretold: predict::foretell(plan, fact.aspect),
            fact,
        })
        .collect();
    Ok(Outcome::Made { findings, buffer })
}

/// The experiment, in its own process.
fn perform(plan: Plan) -> String {
    let scene = scene::Scene::set(plan);
    if scene.proc < 0 {
        return fact::write_refusal(&Refusal::new(
            "/proc is not mounted, and the lab looks there",
        ));
    }
    let watcher = std::thread::spawn(move || watch::watch(scene));
    let report = match make::make(scene) {
        Ok(end) => match watcher.join() {
            Ok(mut watched) => {
                watched.facts.push(fact_of(end));
                fact::write(&watched.facts, &watched.buffer)
            }
            Err(_) => fact::write_refusal(&Refusal::new("the watcher died")),
        },
        // The watcher waits for a child that never was; it ends with this process.
        Err(why) => fact::write_refusal(&why),
    };
    scene.strike();
    report
}

/// How the child ended, as one more fact.
fn fact_of(end: make::End) -> Fact {
    let (seen, proof) = match end {
        Err(why) => (Seen::Nothing, why.to_owned()),
        Ok(raw) => {
            let status = ExitStatus::from_raw(raw);
            let word = match status.code() {
                Some(act::EXEC_STATUS) => "execve".into(),
                Some(act::STATUS) => "exit".into(),
                _ => status.to_string(),
            };
            (
                Seen::Word(word),
                format!("its maker waited for it: {status}"),
            )
        }
    };
    Fact {
        aspect: Aspect::End,
        seen,
        proof,
    }
}

/// Findings for programs; what could not be seen is observed as null.
pub(crate) fn to_json(findings: &[Finding]) -> Json {
    Json::list(findings.iter().map(|finding| {
        let observed = match &finding.fact.seen {
            Seen::Word(word) => Some(word.as_str()),
            Seen::Nothing => None,
        };
        Json::Object(vec![
            ("aspect", Json::text(finding.fact.aspect.id())),
            ("predicted", Json::text(&finding.foretold)),
            ("observed", Json::maybe(observed)),
            ("differs", Json::Bool(finding.differs())),
            ("how", Json::text(&finding.fact.proof)),
        ])
    }))
}
