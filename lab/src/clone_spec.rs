//! Reads what people paste: flag names, numbers, lines of strace, the names of presets.

use rawthread::flags::{Call, CloneFlags, Preset, signal_number};

use crate::cli::{Arguments, UsageError};
use crate::preset_names;

/// A task that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloneSpec {
    pub(crate) flags: CloneFlags,
    pub(crate) exit_signal: u32,
    /// The call, where the text tells it.
    pub(crate) call: Option<Call>,
}

/// What may stand for a set of flags, for the help pages.
pub(crate) const FORMS: &str = "\
FLAGS may be names (CLONE_VM|CLONE_FS, or vm,fs), with a signal among them (vm|SIGCHLD); a number
as clone(2) takes it, with the exit signal in its low byte (0x3d0f00); a line of strace; or the
name of a preset (fork, vfork, posix_spawn, clone, \"clone vm\", nptl, go, go-exec, linuxthreads,
container, rawthread; also pthread, goroutine and the like). Names without a signal mean SIGCHLD,
or none with THREAD or PARENT.";

/// Reads the flags and `--json` from a command's arguments.
///
/// # Errors
/// A word that is nothing of all that, or none at all.
pub(crate) fn from_arguments(
    mut arguments: Arguments<'_>,
) -> Result<(CloneSpec, bool), UsageError> {
    let mut json = false;
    let mut words = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument {
            "--json" => json = true,
            option if option.starts_with("--") => return Err(arguments.unexpected(option)),
            word => words.push(word),
        }
    }
    if words.is_empty() {
        return Err(UsageError(
            "flags are missing: give names (vm,fs), a number, a line of strace, or a preset".into(),
        ));
    }
    read(&words.join(" ")).map(|spec| (spec, json))
}

/// Reads one request.
///
/// # Errors
/// One line that names the word that was not understood.
pub(crate) fn read(text: &str) -> Result<CloneSpec, UsageError> {
    if let Some(preset) = preset_names::find(text) {
        return Ok(CloneSpec {
            flags: preset.flags,
            exit_signal: preset.exit_signal,
            call: None,
        });
    }
    match strace_line(text) {
        Some(spec) => spec,
        None => names_or_number(text),
    }
}

fn default_exit_signal(flags: CloneFlags) -> u32 {
    if flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) {
        0
    } else {
        libc::SIGCHLD as u32
    }
}

fn names_or_number(text: &str) -> Result<CloneSpec, UsageError> {
    let text = text.trim();
    let number = text.starts_with(|first: char| first.is_ascii_digit());
    if number && !text.contains(['|', ',', ' ']) {
        let word: CloneFlags = text.parse().map_err(not_understood)?;
        let (flags, exit_signal) = CloneFlags::from_legacy(word.bits());
        return Ok(CloneSpec {
            flags,
            exit_signal,
            call: None,
        });
    }
    let (mut flags, mut signal) = (CloneFlags::empty(), None);
    // Blanks part words, and may stand around the other separators.
    let parted = text.replace(" |", "|").replace("| ", "|");
    for word in parted.replace(", ", ",").split(['|', ',', ' ']) {
        match signal_number(word) {
            Some(_) if signal.is_some() => {
                return Err(UsageError(format!(
                    "\"{word}\" is a second signal: a task has one exit signal"
                )));
            }
            Some(number) => signal = Some(number),
            None if word.to_ascii_uppercase().starts_with("SIG")
                && word.parse::<CloneFlags>().is_err() =>
            {
                return Err(UsageError(format!(
                    "\"{word}\" is no signal: expected a name such as SIGCHLD"
                )));
            }
            None => flags |= word.parse::<CloneFlags>().map_err(not_understood)?,
        }
    }
    Ok(CloneSpec {
        flags,
        exit_signal: signal.unwrap_or(default_exit_signal(flags)),
        call: None,
    })
}

fn not_understood(error: rawthread::flags::ParseFlagsError) -> UsageError {
    UsageError(format!("{error}; or a preset such as fork"))
}

/// The request in a line such as `clone(child_stack=NULL, flags=CLONE_VM|SIGCHLD) = 7`; `None` if
/// it is no such line.
fn strace_line(text: &str) -> Option<Result<CloneSpec, UsageError>> {
    let has = |call: &str| text.contains(call);
    if has("clone3(") {
        let flags = field(text, "flags=").unwrap_or("0");
        let signal = field(text, "exit_signal=").unwrap_or("0");
        return Some(read_fields(flags, signal));
    }
    if has("clone(") {
        let word = field(text, "flags=")?;
        let parsed = CloneFlags::parse_legacy(word).map_err(not_understood);
        return Some(parsed.map(|(flags, exit_signal)| CloneSpec {
            flags,
            exit_signal,
            call: Some(Call::Clone),
        }));
    }
    let preset = if has("vfork(") {
        Preset::VFORK
    } else if has("fork(") {
        Preset::FORK
    } else {
        return None;
    };
    Some(Ok(CloneSpec {
        flags: preset.flags,
        exit_signal: preset.exit_signal,
        call: None,
    }))
}

/// What stands between `name` and the next separator. "flags=" is not to be found inside another
/// word.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text
        .match_indices(name)
        .map(|(index, _)| index)
        .find(|&index| {
            !text[..index].ends_with(|before: char| before.is_alphanumeric() || before == '_')
        })?
        + name.len();
    let rest = &text[start..];
    let end = rest.find([',', '}', ')', ' ']).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn read_fields(flags: &str, signal: &str) -> Result<CloneSpec, UsageError> {
    let flags = flags.parse().map_err(not_understood)?;
    let exit_signal = match (signal_number(signal), signal.parse()) {
        (Some(number), _) | (None, Ok(number)) => number,
        (None, Err(_)) => {
            return Err(UsageError(format!(
                "\"{signal}\" is no signal: expected a name such as SIGCHLD or a number"
            )));
        }
    };
    Ok(CloneSpec {
        flags,
        exit_signal,
        call: Some(Call::Clone3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str, bits: u64, exit_signal: u32, call: Option<Call>) {
        let spec = read(text).unwrap_or_else(|UsageError(line)| panic!("{text}: {line}"));
        let expected = CloneSpec {
            flags: CloneFlags::from_bits_retain(bits),
            exit_signal,
            call,
        };
        assert_eq!(spec, expected, "{text}");
    }

    #[test]
    fn names_numbers_and_presets() {
        is("CLONE_VM|CLONE_FS", 0x300, 17, None);
        is("vm,fs", 0x300, 17, None);
        is("vm fs", 0x300, 17, None);
        is("vm, fs | sigusr1", 0x300, 10, None);
        is("vm|parent", 0x8100, 0, None);
        is("0x3d0f00", 0x3d_0f00, 0, None);
        is("0x1200011", 0x120_0000, 17, None);
        is("newtime", 0x80, 17, None);
        is("clone vm", 0x100, 17, None);
        is("NPTL", 0x3d_0f00, 0, None);
        is("0", 0, 0, None);
    }

    #[test]
    fn lines_of_strace() {
        is(
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 7",
            0x120_0000,
            17,
            Some(Call::Clone),
        );
        is(
            "[pid 12] clone3({flags=CLONE_VM|CLONE_VFORK|CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD, stack=0x7f, stack_size=0x9000}, 88) = 7",
            0x1_0000_4100,
            17,
            Some(Call::Clone3),
        );
        is("12:01:02 vfork() = 9", 0x4100, 17, None);
        is("fork() = 9", 0, 17, None);
    }

    #[test]
    fn bad_words_are_named() {
        for (text, word) in [
            ("vm,filse", "filse"),
            ("clone(flags=CLONE_WM) = 1", "CLONE_WM"),
            ("clone3({flags=CLONE_VM, exit_signal=SIGFOO}, 88)", "SIGFOO"),
            ("vm|SIGFOO", "\"SIGFOO\" is no signal"),
            ("vm|SIGCHLD|SIGUSR1", "\"SIGUSR1\" is a second signal"),
            ("0xzz", "0xzz"),
        ] {
            let UsageError(line) = read(text).unwrap_err();
            assert!(line.contains(word), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }
}
