//! `lab ask`: questions that learners ask, each answered by an experiment.

mod fork_exec;
mod identity;
mod limits_and_rules;
mod log;
mod sharing;
mod support;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Arguments, UsageError};
use crate::style::{Style, Styler};
use crate::subprocess;
use log::{ExperimentLog, Line};

pub(crate) use fork_exec::{EXEC_REPORT, exec_report};

/// For tests: turns what was seen into its opposite, so that one can see the lab notice.
const FALSIFY: &str = "RAWTHREAD_LAB_FALSIFY";

/// A question, the experiment that answers it, and the answer that should come out.
struct Question {
    asks: &'static str,
    experiment: fn(&mut ExperimentLog),
    /// Shown only when the experiment bears it out.
    answer: &'static str,
}

const QUESTIONS: [Question; 16] = [
    Question {
        asks: "Does the child's close() hit my descriptor?",
        experiment: sharing::close,
        answer: "With CLONE_FILES there is one table, and a close by one is a close for both. \
                 Without it the child closes its own copy.",
    },
    Question {
        asks: "Can one thread have its own working directory?",
        experiment: sharing::directory,
        answer: "Yes: directory, root and umask go by CLONE_FS, not by CLONE_THREAD. \
                 rawthread::Builder::private_cwd leaves it out.",
    },
    Question {
        asks: "Why does unshare(CLONE_NEWUSER) fail once threads exist?",
        experiment: limits_and_rules::unshare,
        answer: "A new user namespace changes rights, and the kernel does not let threads of one \
                 group have different ones: it demands to be alone. Use clone, or unshare first.",
    },
    Question {
        asks: "Why EINVAL?",
        experiment: limits_and_rules::einval,
        answer: "Some flags need others: threads must share handlers, and whoever shares handlers \
                 must share the memory that they lie in. lab explain names the rule.",
    },
    Question {
        asks: "What are pid, tid and tgid?",
        experiment: identity::pid_tid_tgid,
        answer: "Every task has a tid. getpid() gives the tgid: the tid of the first thread of \
                 the group. A process is a group; a thread is a member.",
    },
    Question {
        asks: "What do fork and vfork cost when a lot of memory is touched?",
        experiment: fork_exec::fork_cost,
        answer: "fork copies no page, but every page table, and write-protects what they map; \
                 vfork copies nothing. So a large program starts others by vfork or posix_spawn.",
    },
    Question {
        asks: "Who is stopped by vfork?",
        experiment: fork_exec::vfork_blocks,
        answer: "The calling thread alone, until the child calls execve or exits. All other \
                 threads run on, on the same memory as the child.",
    },
    Question {
        asks: "Why does waitpid say ECHILD though I have a child?",
        experiment: identity::wait_flags,
        answer: "A plain wait finds children whose exit signal is SIGCHLD. Others need __WALL or \
                 __WCLONE, and threads cannot be waited for at all.",
    },
    Question {
        asks: "Which threads are there after fork?",
        experiment: fork_exec::threads_after_fork,
        answer: "The one that called. What the others held stays as it was: a lock that one of \
                 them had locked is locked for ever in the child.",
    },
    Question {
        asks: "What does exec do to threads?",
        experiment: fork_exec::exec,
        answer: "It ends all of them but the caller, who takes over the group's pid, whichever \
                 thread it was.",
    },
    Question {
        asks: "Which end of the stack does clone want?",
        experiment: sharing::stack,
        answer: "The stack grows down: clone takes the address just past its highest byte. clone3 \
                 takes the lowest address and the size, and computes the end itself.",
    },
    Question {
        asks: "What is special about PID 1?",
        experiment: identity::pid1,
        answer: "The first process of a pid namespace is pid 1 in there and has another pid \
                 outside. When it ends, the kernel kills all others in the namespace.",
    },
    Question {
        asks: "Do signal handlers cross CLONE_SIGHAND?",
        experiment: sharing::handlers,
        answer: "With CLONE_SIGHAND there is one table: a disposition that the child sets is \
                 yours. Masks are never shared.",
    },
    Question {
        asks: "What does CLONE_PARENT do?",
        experiment: identity::clone_parent,
        answer: "It makes a sibling: the child's parent is yours, who gets the signal and must \
                 wait; you cannot.",
    },
    Question {
        asks: "What does CLONE_CHILD_CLEARTID do for join?",
        experiment: limits_and_rules::cleartid,
        answer: "When the thread is off its stack, the kernel stores 0 in a word and wakes a \
                 futex there. A join sleeps on that word, and may then free the stack.",
    },
    Question {
        asks: "How many threads can I have, and what stops me?",
        experiment: limits_and_rules::limits,
        answer: "Whichever limit comes first. The error of rawthread::Builder::spawn names it, \
                 and the process lives on.",
    },
];

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut chosen = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.parse::<usize>() {
            Ok(number @ 1..=16) => chosen.push(number - 1),
            _ if argument.starts_with('-') => return Err(arguments.unexpected(argument)),
            _ => {
                return Err(UsageError(format!(
                    "there is no question \"{argument}\": they have the numbers 1 to 16"
                )));
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(0..QUESTIONS.len());
    }
    let styler = Styler::for_stdout();
    let mut all_right = true;
    for index in chosen {
        let question = &QUESTIONS[index];
        let title = format!("{:2}  {}", index + 1, question.asks);
        println!("{}", styler.apply(Style::Title, &title));
        let _ = std::io::stdout().flush();
        all_right &= run_question(question, styler);
    }
    if !all_right {
        let line = "What was seen is not what the answers say: see the lines with a cross.";
        println!("{}", styler.apply(Style::Bad, line));
    }
    Ok(ExitCode::from(u8::from(!all_right)))
}

/// Runs the experiment and prints what it saw; whether the answer stands.
fn run_question(question: &Question, styler: Styler) -> bool {
    let told = subprocess::run_in_fork(|| {
        let mut log = ExperimentLog::default();
        (question.experiment)(&mut log);
        log.into_text()
    });
    let lines = match told.and_then(|text| log::read(&text)) {
        Ok(lines) => lines,
        Err(why) => vec![Line::Fail(format!("the experiment failed: {why}"))],
    };
    let falsified = std::env::var_os(FALSIFY).is_some_and(|what| what == "ask");
    let (mut right, mut whole) = (true, true);
    for line in lines {
        let line = match line {
            Line::Pass(text) if falsified => Line::Fail(text),
            line => line,
        };
        let (mark, style, text) = match line {
            Line::Pass(text) => ("✓", Style::Good, text),
            Line::Fail(text) => {
                right = false;
                ("✗", Style::Bad, text)
            }
            Line::Note(text) => ("·", Style::Quiet, text),
            Line::Skipped(text) => {
                whole = false;
                ("-", Style::Quiet, format!("not shown here: {text}"))
            }
        };
        for (index, part) in styler.wrap(&text, 92).iter().enumerate() {
            let mark = if index == 0 { mark } else { " " };
            println!("    {} {part}", styler.apply(style, mark));
        }
    }
    if right && whole {
        for part in styler.wrap(question.answer, 94) {
            println!("    {}", styler.apply(Style::Own, &part));
        }
    }
    println!();
    right
}
