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
    for part in text.split(['|', ',']) {
        // Blanks part words, too. A part without words is a flag that is missing.
        let none = part.trim().is_empty().then_some("");
        for word in part.split_whitespace().chain(none) {
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
                    return Err(no_signal(word));
                }
                None => flags |= word.parse::<CloneFlags>().map_err(not_understood)?,
            }
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

fn no_signal(word: &str) -> UsageError {
    UsageError(format!(
        "\"{word}\" is no signal: expected a name such as SIGCHLD or SIGRT_2, or a number up to 64"
    ))
}

/// The request in a line such as `clone(child_stack=NULL, flags=CLONE_VM|SIGCHLD) = 7`; `None` if
/// it is no line of strace's.
fn strace_line(text: &str) -> Option<Result<CloneSpec, UsageError>> {
    // What strace says itself may stand at the end of a line that it has not finished.
    let text = text.split("strace: ").next().unwrap_or(text);
    let (name, arguments) = called(text)?;
    Some(match name {
        "clone3" => clone3(arguments),
        "clone" => clone(arguments),
        "fork" => Ok(of_preset(&Preset::FORK)),
        "vfork" => Ok(of_preset(&Preset::VFORK)),
        other => Err(UsageError(format!(
            "a call of \"{other}\" makes no task: expected a line of clone, clone3, fork or vfork"
        ))),
    })
}

/// The name of the system call in a line of strace's, and what stands behind it: behind its first
/// parenthesis, or behind `resumed>` in the second half of a line that was cut in two.
fn called(text: &str) -> Option<(&str, &str)> {
    let open = text.find('(');
    if let Some((before, rest)) = text.split_once("<... ")
        && open.is_none_or(|open| before.len() < open)
        && let Some((name, rest)) = rest.split_once(" resumed>")
    {
        return Some((name, rest));
    }
    let (before, rest) = text.split_at(open?);
    // Before the name there may be a pid and a time.
    let start = before.rfind(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_');
    let name = &before[start.map_or(0, |start| start + 1)..];
    Some((name, &rest[1..]))
}

fn of_preset(preset: &Preset) -> CloneSpec {
    CloneSpec {
        flags: preset.flags,
        exit_signal: preset.exit_signal,
        call: None,
    }
}

fn clone3(arguments: &str) -> Result<CloneSpec, UsageError> {
    let missing = |what: &str| {
        UsageError(format!(
            "{what} missing in this line: expected \"clone3({{flags=..., exit_signal=...\", which strace \
             prints where the call begins, unless it prints addresses (-e raw)"
        ))
    };
    let flags = field(arguments, "flags=").ok_or_else(|| missing("the flags are"))?;
    let signal = field(arguments, "exit_signal=").ok_or_else(|| missing("the exit signal is"))?;
    read_fields(flags, signal)
}

fn clone(arguments: &str) -> Result<CloneSpec, UsageError> {
    // Raw arguments begin with the flags, on every architecture that this crate knows.
    let first = arguments.split([',', ')', ' ']).next().unwrap_or_default();
    let raw = first.starts_with(|first: char| first.is_ascii_digit());
    let word = field(arguments, "flags=")
        .or(raw.then_some(first))
        .ok_or_else(|| {
            UsageError(
                "the flags are missing in this line: expected \"clone(child_stack=..., flags=...\"; in a \
                 call that strace cut in two they stand in the other half"
                    .into(),
            )
        })?;
    let (flags, exit_signal) = CloneFlags::parse_legacy(word).map_err(not_understood)?;
    Ok(CloneSpec {
        flags,
        exit_signal,
        call: Some(Call::Clone),
    })
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
        (None, Err(_)) => return Err(no_signal(signal)),
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
        is(
            "[pid 8] 12:01:02.000017 fork( <unfinished ...>",
            0,
            17,
            None,
        );
        is(
            "8     <... vfork resumed>)            = 9",
            0x4100,
            17,
            None,
        );
    }

    #[test]
    fn halves_of_lines_and_real_time_signals() {
        let both = Some(Call::Clone3);
        is(
            "[pid 7] clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGRT_2, stack=0x7f, stack_size=0x9000} <unfinished ...>",
            0x4100,
            34,
            both,
        );
        is(
            "clone3({flags=CLONE_VM, exit_signal=SIGRTMIN}strace: Process 24877 attached",
            0x100,
            32,
            both,
        );
        is(
            "clone(child_stack=0x55, flags=CLONE_VM|CLONE_VFORK|SIGRT_32strace: Process 9 attached",
            0x4100,
            64,
            Some(Call::Clone),
        );
        // As strace once printed them.
        is(
            "<... clone resumed> child_stack=NULL, flags=CLONE_VM|SIGCHLD, child_tidptr=0x7f) = 8",
            0x100,
            17,
            Some(Call::Clone),
        );
        is(
            "clone(0x4111, 0x55f7, 0, 0x7f, 0x1) = 8",
            0x4100,
            17,
            Some(Call::Clone),
        );
        is("vm|SIGRTMIN", 0x100, 32, None);
    }

    #[test]
    fn blanks_are_nothing() {
        is("CLONE_VM|  CLONE_FS", 0x300, 17, None);
        is("vm  |\tfs ,  SIGUSR1", 0x300, 10, None);
        is("  vm   fs ", 0x300, 17, None);
        is(" 0x300 ", 0x300, 0, None);
    }

    #[test]
    fn what_a_line_lacks_is_said() {
        for (text, word) in [
            ("clone3(0x7ffe6a0b6d50, 88) = 4242", "flags are missing"),
            (
                "clone3(0x7ffe74537e60, 0x58 <unfinished ...>",
                "flags are missing",
            ),
            (
                "[pid 24876] <... clone3 resumed> => {parent_tid=[24877]}, 88) = 24877",
                "flags are missing",
            ),
            ("clone3( <unfinished ...>", "flags are missing"),
            ("clone3({flags=CLONE_VM", "exit signal is missing"),
            (
                "<... clone resumed>, child_tidptr=0x7f) = 24881",
                "flags are missing",
            ),
            ("clone( <unfinished ...>", "flags are missing"),
            (
                "execve(\"/usr/bin/fork(x)\", [\"fork(x)\"], 0x7f /* 9 vars */) = 0",
                "\"execve\"",
            ),
            (
                "openat(AT_FDCWD, \"clone(flags=CLONE_VM)\", O_RDONLY) = 3",
                "\"openat\"",
            ),
            (
                "<... wait4 resumed>[{WIFEXITED(s)}], 0, NULL) = 7",
                "\"wait4\"",
            ),
            ("pthread_atfork(x)", "\"pthread_atfork\""),
            ("vm||fs", "a flag is missing"),
            ("vm| ", "a flag is missing"),
            ("vm|SIGRT_33", "\"SIGRT_33\" is no signal"),
        ] {
            let UsageError(line) = read(text).unwrap_err();
            assert!(line.contains(word), "{text}: {line}");
            assert_eq!(line.lines().count(), 1);
        }
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
