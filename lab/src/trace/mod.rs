//! `lab trace`: which tasks a program makes, seen through ptrace.

mod classify;
mod document;
mod filter;
mod interrupt;
mod lines;
mod machine;
mod proc;
mod start;
mod task;
mod tracee;
mod tracer;
mod tree;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Arguments, UsageError, Word};
use crate::output;
use crate::style::Styler;
use lines::Lines;
use start::StartError;
use tracer::{Outcome, TraceLog};

/// Exit statuses of a shell for a command that is there but cannot be run, or is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What the command line asks for.
struct Options<'a> {
    command: &'a [Word],
    attach: Option<i32>,
    output: Option<&'a Path>,
    json: bool,
}

fn options<'a>(arguments: &mut Arguments<'a>) -> Result<Options<'a>, UsageError> {
    let (mut attach, mut output, mut json) = (None, None, false);
    let mut command = arguments.rest();
    while let Some(argument) = arguments.next() {
        match argument {
            "--" => command = arguments.rest(),
            "--json" => json = true,
            "-o" => output = Some(arguments.path("-o", "a file")?),
            "--attach" => {
                let given = arguments.value("--attach", "the number of a process")?;
                attach = match given.parse() {
                    Ok(pid @ 1..) => Some(pid),
                    _ => {
                        return Err(UsageError(format!(
                            "--attach {given}: expected the number of a process"
                        )));
                    }
                };
            }
            option if option.starts_with('-') => return Err(arguments.unexpected(option)),
            _ => {}
        }
        if argument == "--" || !argument.starts_with('-') {
            break;
        }
        command = arguments.rest();
    }
    match (attach, command) {
        (None, []) => Err(UsageError(
            "a command is missing: lab trace -- COMMAND, or --attach PID".into(),
        )),
        (Some(_), [word, ..]) => Err(UsageError(format!(
            "--attach traces a process that runs: \"{}\" would start another",
            word.text
        ))),
        _ => Ok(Options {
            command,
            attach,
            output,
            json,
        }),
    }
}

/// Where the trace is written: the traced program has stdout, so it is stderr or a file, as
/// strace's.
struct Sink {
    file: Option<File>,
    error: Option<io::Error>,
}

impl Sink {
    fn write(&mut self, text: &str) {
        match &mut self.file {
            None => output::stderr(format_args!("{text}")),
            Some(file) => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    self.error.get_or_insert(error);
                }
            }
        }
    }
}

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let options = options(&mut arguments)?;
    let file = options.output.map(|path| {
        File::create(path).map_err(|error| UsageError(format!("-o {}: {error}", path.display())))
    });
    let mut sink = Sink {
        file: file.transpose()?,
        error: None,
    };
    let styler = match sink.file {
        Some(_) => Styler::plain(),
        None => Styler::for_stderr(),
    };
    let followed = match follow(&options, styler, &mut sink) {
        Ok(followed) => followed,
        Err(why) => {
            output::complain(&why);
            return Ok(ExitCode::FAILURE);
        }
    };
    let (log, outcome) = match followed {
        Ok(followed) => followed,
        Err(error) => {
            output::complain(&format!(
                "ptrace failed ({error}): lab trace needs Linux 5.3"
            ));
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Outcome::NotRun(errno) = outcome {
        let error = io::Error::from_raw_os_error(errno);
        let name = &options.command[0].text;
        output::complain(&format!("\"{name}\" cannot be run: {error}"));
        let status = if errno == libc::ENOENT {
            NOT_FOUND
        } else {
            CANNOT_RUN
        };
        return Ok(ExitCode::from(status));
    }
    if options.json {
        sink.write(&format!("{}\n", document::to_json(&log, outcome)));
    } else {
        sink.write("\n");
        sink.write(&tree::draw(&log, styler));
    }
    if let Some(error) = sink.error {
        let name = options.output.unwrap_or(Path::new("stderr")).display();
        output::complain(&format!("-o {name}: {error}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(exit_code(outcome))
}

/// The trace; or one line why there is none. The inner error is the kernel's, while tracing.
fn follow(
    options: &Options<'_>,
    styler: Styler,
    sink: &mut Sink,
) -> Result<io::Result<(TraceLog, Outcome)>, String> {
    let mut lines = Lines::new(styler);
    let mut is_first = true;
    let mut on_event = |tasks: &[task::Task], event| {
        if options.json {
            return;
        }
        if std::mem::take(&mut is_first) {
            sink.write(&lines.header());
        }
        let text = lines.event(tasks, event);
        sink.write(&text);
    };
    let followed = match options.attach {
        Some(pid) => {
            let attached = start::attach(pid).map_err(|error| match error {
                StartError::Trace(error) => cannot_attach(pid, &error),
                other => other.to_string(),
            })?;
            TraceLog::follow_attached(&attached, &mut on_event)
        }
        None => {
            let mut started = start::command(options.command).map_err(|error| error.to_string())?;
            TraceLog::follow_command(&mut started, &mut on_event)
        }
    };
    sink.write(&lines.flush());
    Ok(followed)
}

fn cannot_attach(pid: i32, error: &io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::ESRCH) => "there is no such process".to_owned(),
        Some(libc::EPERM) => proc::obstacle(pid).unwrap_or_else(|| {
            "not permitted: it must be yours, and where /proc/sys/kernel/yama/ptrace_scope is not 0, \
             this takes CAP_SYS_PTRACE"
                .into()
        }),
        _ => error.to_string(),
    };
    format!("--attach {pid}: {why}")
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nul => f.write_str("the command holds a NUL byte"),
            Self::Traced(tracer) => write!(
                f,
                "process {tracer} traces the lab and what it makes, and a task has one tracer: run the \
                 lab without it"
            ),
            Self::Trace(error) => write!(f, "a sandbox does not let the lab trace: {error}"),
            Self::Thread(tid, pid) => write!(
                f,
                "--attach {tid}: this is a thread of process {pid}: give that number"
            ),
            Self::Other(error) => f.write_str(error),
        }
    }
}

/// The program's exit status, or 128 and the number of the signal that ended it.
fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Ended(status) if libc::WIFEXITED(status) => {
            ExitCode::from(libc::WEXITSTATUS(status) as u8)
        }
        Outcome::Ended(status) => ExitCode::from(128 + libc::WTERMSIG(status) as u8),
        Outcome::NotRun(_) | Outcome::Detached => ExitCode::SUCCESS,
    }
}
