//! The message of a panic shows the program's frames, as std's does, and says once how to see them.

use rawthread::{Builder, process, warm};

use super::common::{is_child, rerun_self, stdout_stderr, watchdog};

const TEST: &str = "panic_output::a_backtrace_shows_what_std_shows";

#[inline(never)]
fn fail(which: &str) {
    panic!("expected: {which}");
}

/// Panics in a thread of each kind, one after another.
fn panics() {
    let _ = std::thread::spawn(|| fail("of std")).join();
    let _ = rawthread::spawn(|| fail("unnamed")).join();
    for name in ["first", "second"] {
        let named = Builder::new().name(name.into());
        let _ = named.spawn(move || fail(name)).unwrap().join();
    }
    let _ = warm::spawn(|| fail("warm")).join();
    rawthread::scope(|scope| {
        let _ = scope.spawn(|| fail("scoped")).join();
    });
    let builder = process::Builder::new();
    // SAFETY: the child shares nothing.
    let child = unsafe { builder.spawn(|| -> i32 { panic!("expected: process") }) };
    child.unwrap().wait().unwrap();
}

/// What a copy of this process prints to standard error.
fn printed(style: Option<&str>) -> String {
    let mut command = rerun_self(TEST);
    command
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LIB_BACKTRACE");
    if let Some(style) = style {
        command.env("RUST_BACKTRACE", style);
    }
    let output = command.output().unwrap();
    let (out, err) = stdout_stderr(&output);
    assert!(out.contains("1 passed"), "{out}\n{err}");
    err
}

/// The frames' functions behind the message `expected: WHICH`.
fn frames<'a>(text: &'a str, which: &str) -> Vec<&'a str> {
    let message = format!("expected: {which}");
    text.lines()
        .skip_while(|line| *line != message)
        .skip(1)
        .take_while(|line| !line.starts_with("note: ") && !line.is_empty())
        .filter_map(|line| line.trim_start().split_once(": "))
        .filter(|(number, _)| number.parse::<u32>().is_ok())
        .map(|(_, name)| name)
        .collect()
}

#[test]
fn a_backtrace_shows_what_std_shows() {
    if is_child(TEST) {
        watchdog(300);
        panics();
        return;
    }
    let text = printed(Some("1"));
    // Optimized code has inlined what would be counted.
    let counts = cfg!(debug_assertions);
    let of_std = frames(&text, "of std");
    assert!(of_std.iter().any(|name| name.contains("fail")), "{text}");
    for which in ["unnamed", "first", "second", "warm", "scoped", "process"] {
        let found = frames(&text, which);
        let spare = usize::from(which == "process");
        assert!(
            found.len() <= of_std.len(),
            "{which}: {found:#?} {of_std:#?}"
        );
        if !counts {
            continue;
        }
        assert_eq!(
            found.len() + spare,
            of_std.len(),
            "{which}: {found:#?} {of_std:#?}"
        );
        let last = found.last().unwrap();
        assert!(last.contains("panic_output::panics"), "{which}: {found:#?}");
    }

    let full = printed(Some("full"));
    for which in ["of std", "unnamed", "first", "warm"] {
        let (found, short) = (frames(&full, which), frames(&text, which));
        assert!(found.len() > short.len(), "{which}: {found:#?}");
    }

    for style in [None, Some("0")] {
        let text = printed(style);
        assert_eq!(frames(&text, "first"), [""; 0]);
        // std's own, and at most one more.
        let notes = text.matches("note: run with `RUST_BACKTRACE=1`").count();
        assert!((1..=2).contains(&notes), "{text}");
        let after = text.split("expected: second\n").nth(1).unwrap();
        assert!(!after.contains("note: "), "{text}");
    }
}
