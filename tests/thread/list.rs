//! The list of promises names tests that exist, and no test of parity is missing from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/thread")
}

/// `module::test` of every test in `parity/`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder().join("parity")).expect("the bodies") {
        let path = entry.expect("an entry").path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim() != "#[test]" {
                continue;
            }
            let name = lines
                .find_map(|line| line.trim().strip_prefix("fn ")?.split('(').next())
                .expect("a test is a function");
            found.insert(format!("{module}::{name}"));
        }
    }
    found
}

/// `module::test` of every line of the list.
fn listed() -> BTreeSet<String> {
    let text = fs::read_to_string(folder().join("parity.md")).expect("the list");
    text.lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches([' ', '|']).rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_promise_has_its_test_and_every_test_its_promise() {
    let (tests, listed) = (tests(), listed());
    let missing: Vec<_> = listed.difference(&tests).collect();
    let unlisted: Vec<_> = tests.difference(&listed).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "named in parity.md, but no test: {missing:?}\nnot named in parity.md: {unlisted:?}"
    );
    assert!(tests.len() > 10);
}
