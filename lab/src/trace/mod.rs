//! `lab trace`: which tasks a program makes, seen through ptrace.
#![allow(unsafe_code, reason = "a child that asks to be traced")]

mod follow;
mod tracee;
mod tree;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rawthread::flags::{CloneFlags, Preset};

use crate::cli::{Arguments, Misuse};
use crate::paint::{Paint, Tone};
use crate::probe::signal_word;
use follow::{News, Story};
use tracee::Asked;

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, Misuse> {
    let mut name = arguments.next();
    if name == Some("--") {
        name = arguments.next();
    } else if let Some(option) = name.filter(|name| name.starts_with('-')) {
        return Err(arguments.unexpected(option));
    }
    let name = name.ok_or_else(|| Misuse("a command is missing: lab trace -- COMMAND".into()))?;
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
        Err(error) => return Err(Misuse(format!("{name} cannot be run: {error}"))),
    };
    // The traced program writes to stdout: as strace, the lab writes to stderr.
    let paint = Paint::for_stderr();
    // Its exec has stopped it; that report is the first.
    while !matches!(
        tracee::next(),
        Some((
            _,
            tracee::Report::Signal(libc::SIGTRAP) | tracee::Report::Ended(_)
        )) | None
    ) {}
    match Story::follow(child.id() as i32, |news| eprint!("{}", line(paint, &news))) {
        Ok((story, status)) => {
            eprint!("\n{}", tree::draw(&story.tasks, paint));
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
fn class(asked: Asked) -> String {
    let mut fits = Preset::matching(asked.flags, asked.exit_signal).peekable();
    let best = fits.peek().map(|(_, fit)| *fit);
    let names: Vec<_> = fits
        .filter(|(preset, fit)| Some(*fit) == best && may_be(asked, preset))
        .map(|(preset, _)| preset.name)
        .collect();
    match names.as_slice() {
        [] if asked.flags.contains(CloneFlags::VM) => "shares memory".into(),
        [] => "of its own kind".into(),
        names => names.join(" or "),
    }
}

/// Of presets with the same flags: whether it can be this one.
fn may_be(asked: Asked, preset: &Preset) -> bool {
    if preset.id == Preset::CLONE.id || preset.id == Preset::RAWTHREAD.id {
        // Named for the tour; to a tracer they are fork and pthread_create.
        return false;
    }
    // Where vfork is a system call, the call itself tells.
    let has_vfork = cfg!(target_arch = "x86_64");
    if preset.id == Preset::VFORK.id {
        return !has_vfork || asked.call == "vfork";
    }
    asked.call != "vfork" || !has_vfork
}

/// The request in a few words.
fn request(asked: Asked) -> String {
    let flags = match asked.flags {
        flags if flags.is_empty() => "no flags".to_owned(),
        flags => flags.to_string().replace("CLONE_", ""),
    };
    match asked.exit_signal {
        0 => flags,
        signal => format!("{flags}, {}", signal_word(signal as i32)),
    }
}

fn time(took: Duration) -> String {
    format!("{} µs", took.as_micros())
}

fn line(paint: Paint, news: &News<'_>) -> String {
    let (maker, asked) = match news {
        News::Made { maker, asked, .. } | News::Refused { maker, asked, .. } => (maker, *asked),
    };
    let who = format!(
        "{} {}",
        maker.tid,
        maker.programs.last().map_or("", String::as_str)
    );
    let outcome = match news {
        News::Made { task, took, .. } => {
            let tone = match kind(asked.flags) {
                "thread" => Tone::Shared,
                _ => Tone::Own,
            };
            format!(
                "{} {}, {}",
                paint.tone(tone, &format!("{} {}", kind(asked.flags), task.tid)),
                class(asked),
                time(*took)
            )
        }
        News::Refused { errno, .. } => paint.tone(
            Tone::Bad,
            &std::io::Error::from_raw_os_error(*errno).to_string(),
        ),
    };
    format!(
        "{}{}{outcome}\n    {}\n",
        paint.cell(Tone::Title, &who, 26),
        paint.cell(Tone::Plain, asked.call, 8),
        paint.tone(Tone::Quiet, &request(asked)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(flags: u64, exit_signal: u32) -> Asked {
        Asked {
            call: "clone",
            flags: CloneFlags::from_bits_retain(flags),
            exit_signal,
        }
    }

    #[test]
    fn requests_are_classed_by_who_makes_such() {
        assert_eq!(class(asked(0x3d_0f00, 0)), "pthread_create");
        assert_eq!(class(asked(0x5_0f00, 0)), "Go runtime thread");
        // glibc's fork stores the tid as well.
        assert_eq!(class(asked(0x120_0000, 17)), "fork");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(class(asked(0x4100, 17)), "posix_spawn");
        assert_eq!(class(asked(0x300, 17)), "shares memory");
        assert_eq!(class(asked(0x200, 17)), "of its own kind");
    }

    #[test]
    fn requests_are_written_short() {
        assert_eq!(request(asked(0x4100, 17)), "VM|VFORK, SIGCHLD");
        assert_eq!(request(asked(0, 0)), "no flags");
    }
}
