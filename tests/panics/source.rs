//! What the source says: each lock, each assertion of debug builds.

use std::fs;
use std::path::{Path, PathBuf};

/// Each place that takes a lock of this crate's own, and what releases it where the code under it panics.
/// `sync` itself is not listed: its locks are released by guards, which its tests drop in panics.
const LOCKS: &[(&str, &str, &str)] = &[
    (
        "runtime/hosted/libc_layout.rs",
        "PROBE_LOCK.lock()",
        "a guard's drop",
    ),
    (
        "runtime/hosted/exit_lock.rs",
        "lock.lock()",
        "one store is under it, which cannot panic",
    ),
    (
        "runtime/hosted/exit_lock.rs",
        "unsafe fn lock<",
        "the function that finds libc's lock",
    ),
    (
        "runtime/hosted/tls_images.rs",
        "WRITING.swap(true",
        "a donor takes it, whose first frame no panic passes: the process ends",
    ),
    ("runtime/std_key.rs", "TURN.swap(true", "a guard's drop"),
    (
        "stack/idle_memory.rs",
        "discarding.swap(true",
        "a guard's drop",
    ),
    (
        "process/dumpable.rs",
        "exchange(word, now, own | UNKNOWN | BUSY)",
        "some system calls are under it, which cannot panic",
    ),
    (
        "process/dumpable.rs",
        "exchange(word, now, now | BUSY)",
        "some system calls are under it, which cannot panic",
    ),
];

/// What takes a lock, as text.
const TAKES: [&str; 6] = [
    ".lock()",
    ".try_lock()",
    "fn lock<",
    ".swap(true, Ordering::Acquire)",
    "| BUSY)",
    "spin_lock",
];

/// What an assertion of debug builds would have in it that looks at what a system call or a function of
/// libc's said.
const ANSWERS: [&str; 9] = [
    "is_ok()", "is_err()", "Errno", "errno", "Ok(", "Err(", "returned", "syscall", "answer",
];

/// The lines of code of `src`, without comments, each with its file.
fn lines() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pending: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let name = path
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let text = fs::read_to_string(&path).unwrap();
        if name.ends_with("_tests.rs") {
            continue;
        }
        // Tests of the file itself stand at its end.
        let code = text.split("\nmod tests {").next().unwrap();
        let code = code
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"));
        found.extend(code.map(|line| (name.clone(), line.to_owned())));
    }
    found
}

#[test]
fn every_lock_is_released_by_a_panic_or_has_no_code_that_panics() {
    let takes: Vec<(String, String)> = lines()
        .into_iter()
        .filter(|(file, _)| {
            !["sync/", "loom_models/"]
                .iter()
                .any(|layer| file.starts_with(layer))
        })
        .filter(|(_, line)| TAKES.iter().any(|take| line.contains(take)))
        .collect();
    for (file, line) in &takes {
        assert!(
            LOCKS
                .iter()
                .any(|(known, text, _)| known == file && line.contains(text)),
            "{file} takes a lock that LOCKS does not have: {line}"
        );
    }
    for (file, text, _) in LOCKS {
        let is_there = takes
            .iter()
            .any(|(found, line)| found == file && line.contains(text));
        assert!(is_there, "{file} does not have {text} any more");
    }
}

/// A debug build survives every errno that a release build survives: its assertions look at words of this
/// crate's own.
#[test]
fn no_assertion_of_debug_builds_looks_at_an_answer_of_the_kernel() {
    let lines = lines();
    let mut found = 0;
    for (at, (file, line)) in lines.iter().enumerate() {
        if !line.contains("debug_assert") {
            continue;
        }
        found += 1;
        // To the statement's end, which may be lines below.
        let rest = lines[at..].iter().map(|(_, line)| line.as_str());
        let mut statement = String::new();
        for line in rest {
            statement.push_str(line);
            if line.ends_with(';') {
                break;
            }
        }
        let answer = ANSWERS.iter().find(|answer| statement.contains(**answer));
        assert_eq!(answer, None, "{file}: {statement}");
        // A call of libc's, and not a constant of its.
        let calls = statement.match_indices("libc::").any(|(index, word)| {
            let name = &statement[index + word.len()..];
            name.starts_with(|first: char| first.is_ascii_lowercase())
        });
        assert!(!calls, "{file}: {statement}");
    }
    assert!(found > 0);
}
