//! `lab trace`: which tasks a program makes, seen through ptrace.
#![allow(unsafe_code, reason = "a child that asks to be traced")]

mod tracee;
mod tracer;
mod tree;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rawthread::flags::{CloneFlags, Preset};

use crate::cli::{Arguments, UsageError};
use crate::probe::signal_word;
use crate::style::{Style, Styler};
use tracee::CloneRequest;
use tracer::{TraceEvent, TraceLog};

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut name = arguments.next();
    if name == Some("--") {
        name = arguments.next();
    } else if let Some(option) = name.filter(|name| name.starts_with('-')) {
        return Err(arguments.unexpected(option));
    }
    let name =
        name.ok_or_else(|| UsageError("a command is missing: lab trace -- COMMAND".into()))?;
    let mut command = Command::new(name);
    command.args(arguments.rest());
    // SAFETY: one system call.
    unsafe { command.pre_exec(tracee::trace_me) };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            eprintln!("lab: a sandbox does not let the lab trace {name}: {error}");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(UsageError(format!("{name} cannot be run: {error}"))),
    };
    // The traced program writes to stdout: as strace, the lab writes to stderr.
    let styler = Styler::for_stderr();
    // Its exec has stopped it; that report is the first.
    while !matches!(
        tracee::wait_event(),
        Some((
            _,
            tracee::Report::Signal(libc::SIGTRAP) | tracee::Report::Ended(_)
        )) | None
    ) {}
    match TraceLog::follow(child.id() as i32, |event| {
        eprint!("{}", line(styler, &event))
    }) {
        Ok((log, status)) => {
            eprint!("\n{}", tree::draw(&log.tasks, styler));
            let code = if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                128 + libc::WTERMSIG(status)
            };
            Ok(ExitCode::from(code as u8))
        }
        Err(error) => {
            eprintln!("lab: ptrace failed ({error}): lab trace needs Linux 5.3");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether the flags make a thread or a process.
fn kind(flags: CloneFlags) -> &'static str {
    if flags.contains(CloneFlags::THREAD) {
        "thread"
    } else {
        "process"
    }
}

/// The presets that a request fits best; or what can be said without.
fn classify(request: CloneRequest) -> String {
    let mut fits = Preset::matching(request.flags, request.exit_signal).peekable();
    let best = fits.peek().map(|(_, fit)| *fit);
    let names: Vec<_> = fits
        .filter(|(preset, fit)| Some(*fit) == best && matches_preset(request, preset))
        .map(|(preset, _)| preset.name)
        .collect();
    match names.as_slice() {
        [] if request.flags.contains(CloneFlags::VM) => "shares memory".into(),
        [] => "of its own kind".into(),
        names => names.join(" or "),
    }
}

/// Of presets with the same flags: whether it can be this one.
fn matches_preset(request: CloneRequest, preset: &Preset) -> bool {
    if preset.id == Preset::CLONE.id || preset.id == Preset::RAWTHREAD.id {
        // Named for the tour; to a tracer they are fork and pthread_create.
        return false;
    }
    // Where vfork is a system call, the call itself tells.
    let has_vfork = cfg!(target_arch = "x86_64");
    if preset.id == Preset::VFORK.id {
        return !has_vfork || request.call == "vfork";
    }
    request.call != "vfork" || !has_vfork
}

/// The request in a few words.
fn describe(request: CloneRequest) -> String {
    let flags = match request.flags {
        flags if flags.is_empty() => "no flags".to_owned(),
        flags => flags.to_string().replace("CLONE_", ""),
    };
    match request.exit_signal {
        0 => flags,
        signal => format!("{flags}, {}", signal_word(signal as i32)),
    }
}

fn time(took: Duration) -> String {
    format!("{} µs", took.as_micros())
}

fn line(styler: Styler, event: &TraceEvent<'_>) -> String {
    let (maker, request) = match event {
        TraceEvent::Made { maker, request, .. } | TraceEvent::Refused { maker, request, .. } => {
            (maker, *request)
        }
    };
    let who = format!(
        "{} {}",
        maker.tid,
        maker.programs.last().map_or("", String::as_str)
    );
    let outcome = match event {
        TraceEvent::Made { task, took, .. } => {
            let style = match kind(request.flags) {
                "thread" => Style::Shared,
                _ => Style::Own,
            };
            format!(
                "{} {}, {}",
                styler.apply(style, &format!("{} {}", kind(request.flags), task.tid)),
                classify(request),
                time(*took)
            )
        }
        TraceEvent::Refused { errno, .. } => styler.apply(
            Style::Bad,
            &std::io::Error::from_raw_os_error(*errno).to_string(),
        ),
    };
    format!(
        "{}{}{outcome}\n    {}\n",
        styler.pad(Style::Title, &who, 26),
        styler.pad(Style::Plain, request.call, 8),
        styler.apply(Style::Quiet, &describe(request)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(flags: u64, exit_signal: u32) -> CloneRequest {
        CloneRequest {
            call: "clone",
            flags: CloneFlags::from_bits_retain(flags),
            exit_signal,
        }
    }

    #[test]
    fn requests_are_classed_by_who_makes_such() {
        assert_eq!(classify(request(0x3d_0f00, 0)), "pthread_create");
        assert_eq!(classify(request(0x5_0f00, 0)), "Go runtime thread");
        // glibc's fork stores the tid as well.
        assert_eq!(classify(request(0x120_0000, 17)), "fork");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(classify(request(0x4100, 17)), "posix_spawn");
        assert_eq!(classify(request(0x300, 17)), "shares memory");
        assert_eq!(classify(request(0x200, 17)), "of its own kind");
    }

    #[test]
    fn requests_are_written_short() {
        assert_eq!(describe(request(0x4100, 17)), "VM|VFORK, SIGCHLD");
        assert_eq!(describe(request(0, 0)), "no flags");
    }
}
