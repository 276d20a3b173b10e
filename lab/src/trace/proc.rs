//! What /proc says of traced tasks.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::task::Program;

/// The name that the kernel shows for a task.
pub(super) fn comm(tid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// The program that `tid` executes.
pub(super) fn program(tid: i32) -> Program {
    let vector = fs::read(format!("/proc/{tid}/cmdline")).unwrap_or_default();
    let words = vector.strip_suffix(&[0]).unwrap_or(&vector);
    let words: Vec<_> = words.split(|&byte| byte == 0).map(quoted).collect();
    Program {
        name: comm(tid).unwrap_or_default(),
        command_line: words.join(" "),
    }
}

/// A word as a shell would take it, on one line.
fn quoted(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    let plain = |character: char| character.is_alphanumeric() || "%+,-./:=@_".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    if word.chars().any(char::is_control) {
        let escaped = word.escape_debug().to_string().replace("\\'", "'");
        return format!("$'{}'", escaped.replace('\'', "\\'"));
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The thread group of a task.
pub(super) fn thread_group(tid: i32) -> Option<i32> {
    status_field(tid, "Tgid:")?.parse().ok()
}

/// The tids of the process that `tid` belongs to.
pub(super) fn threads_of(tid: i32) -> Vec<i32> {
    let list = fs::read_dir(format!("/proc/{tid}/task"));
    let names = list.into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether `tid` executes a set-user-ID or set-group-ID program and does not have the ids of its file.
pub(super) fn lacks_set_ids(tid: i32) -> bool {
    let Ok(file) = fs::metadata(format!("/proc/{tid}/exe")) else {
        return false;
    };
    let effective = |field: &str| -> Option<u32> {
        // Real, effective, saved, and that of the file system.
        status_field(tid, field)?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    let lacks = |bit, field, owner| {
        file.mode() & bit != 0 && effective(field).is_some_and(|effective| effective != owner)
    };
    lacks(libc::S_ISUID, "Uid:", file.uid()) || lacks(libc::S_ISGID, "Gid:", file.gid())
}

/// The process that traces `tid`.
pub(super) fn tracer_of(tid: i32) -> Option<i32> {
    let tracer = status_field(tid, "TracerPid:")?.parse().ok()?;
    (tracer != 0).then_some(tracer)
}

/// Why the process `pid` cannot be traced, whoever asks.
pub(super) fn obstacle(pid: i32) -> Option<String> {
    if u32::try_from(pid) == Ok(std::process::id()) {
        return Some("that is the lab itself".into());
    }
    if let Some(tracer) = tracer_of(pid) {
        return Some(format!(
            "process {tracer} traces it, and a task has one tracer"
        ));
    }
    if status_field(pid, "State:")?.starts_with('Z') {
        // "Threads" counts the first one, too.
        let others = status_field(pid, "Threads:")? != "1";
        return Some(if others {
            "its first thread has ended, and the lab attaches to a process by that one".into()
        } else {
            "it has ended, and its parent has not waited for it yet".into()
        });
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; field 3 comes after it, the flags are field 9.
    let flags = stat[stat.rfind(')')? + 1..].split_whitespace().nth(6)?;
    const PF_KTHREAD: u32 = 0x0020_0000;
    let in_kernel = flags.parse::<u32>().ok()? & PF_KTHREAD != 0;
    in_kernel.then(|| "it is a thread of the kernel".into())
}

/// The value of a field of `/proc/TID/status`.
pub(super) fn status_field(tid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted(b"--color=auto"), "--color=auto");
        assert_eq!(quoted(b""), "''");
        assert_eq!(quoted(b"a b"), "'a b'");
        assert_eq!(quoted(b"it's"), "'it'\\''s'");
        assert_eq!(quoted(b"a\nb"), "$'a\\nb'");
    }
}
