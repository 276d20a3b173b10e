//! The larger example: files by rustix, an allocator crate, and an object that a C compiler made.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use super::{assert_built, command, elf, elsewhere, root, run, target, triple};

/// The built example; nothing where its two dependencies cannot be had.
fn example() -> Option<&'static PathBuf> {
    static BUILT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let directory = root().join("examples/no-libc-words");
        let cargo = |arguments: &[&str]| {
            Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
                .args(arguments)
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_BUILD_RUSTFLAGS")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .current_dir(&directory)
                .output()
                .expect("cargo runs")
        };
        let fetched = cargo(&["fetch", "--quiet"]);
        if !fetched.status.success() {
            let why = String::from_utf8_lossy(&fetched.stderr);
            let why = why.lines().next().unwrap_or("no reason given");
            println!("SKIP: rustix and linked_list_allocator cannot be had here: {why}");
            return None;
        }
        let into = target().join("words");
        let triple = triple();
        let mut arguments = vec!["build", "--release", "--quiet", "--offline"];
        if elsewhere().is_some() {
            arguments.extend(["--target", &triple]);
        }
        let into_text = into.to_str().expect("plain names");
        arguments.extend(["--target-dir", into_text]);
        assert_built(&cargo(&arguments));
        let built = into.join(elsewhere().unwrap_or_default());
        Some(built.join("release/no-libc-words"))
    });
    BUILT.as_ref()
}

#[test]
fn the_larger_example_counts_words_of_files() {
    let Some(path) = example() else { return };
    elf::assert_free_of_libc(path, true);
    let texts = std::env::temp_dir().join(format!("no-libc-words-{}", std::process::id()));
    fs::create_dir_all(&texts).unwrap();
    let names: Vec<_> = (1..=20).map(|n| texts.join(format!("{n}.txt"))).collect();
    for (n, name) in (1..).zip(&names) {
        // The last one is larger than what is read at once.
        fs::write(name, " word\n".repeat(n * n * 60)).unwrap();
    }
    let printed = run(command(path).args(&names), 0);
    let counts = |line: &str| line.split_whitespace().next().unwrap().parse::<usize>();
    let counted: Vec<_> = printed.lines().map(|line| counts(line).unwrap()).collect();
    let mut expected: Vec<_> = (1..=20).map(|n| n * n * 60).collect();
    expected.push(expected.iter().sum());
    assert_eq!(counted, expected, "{printed}");

    // A file that is not there is an error of that file alone.
    let missing = texts.join("missing");
    let printed = run(command(path).arg(&missing).arg(&names[0]), 1);
    assert!(printed.contains("60 total"), "{printed}");
    fs::remove_dir_all(&texts).unwrap();
}
