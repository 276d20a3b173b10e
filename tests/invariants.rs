//! The indexes of invariants and orderings agree with the source: docs/invariants.md has each label
//! once, each citation names a label of the index, each label is cited where it says, and none is stated
//! only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Words that look like labels and are none.
const NOT_LABELS: [&str; 3] = ["UTF-8", "ISO-8859", "AVX-512"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The labels in a text: capital letters, a hyphen, a number.
fn labels(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c| !is_part(c))
        .filter(|word| {
            let Some((name, number)) = word.split_once('-') else {
                return false;
            };
            name.len() >= 3
                && name.chars().all(|c| c.is_ascii_uppercase())
                && !number.is_empty()
                && number.chars().all(|c| c.is_ascii_digit())
                && !NOT_LABELS.contains(word)
        })
        .map(str::to_owned)
        .collect()
}

/// The comments of each file of `src`.
fn comments() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending: Vec<PathBuf> = vec![root().join("src")];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).expect("a directory that can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let comments: String = text
                .lines()
                .filter_map(|line| line.split_once("//").map(|(_, comment)| comment))
                .collect::<Vec<_>>()
                .join("\n");
            let name = path.strip_prefix(root()).expect("below the root");
            found.insert(name.to_str().expect("plain names").to_owned(), comments);
        }
    }
    found
}

/// The labels that each file of `src` cites in its comments.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    comments()
        .into_iter()
        .map(|(name, text)| (name, labels(&text).into_iter().collect()))
        .collect()
}

/// The labels that stand once in these texts: stated, and relied on nowhere.
fn stated_only<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for label in texts.flat_map(|text| labels(text)) {
        *count.entry(label).or_default() += 1;
    }
    count.retain(|_, count| *count == 1);
    count.into_keys().collect()
}

/// What is wrong between an index and the citations of a tree.
fn disagreements(index: &str, cited: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for row in index.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let label = cells[0].trim_matches('`');
        if labels(label).is_empty() {
            continue;
        }
        if known.insert(label.to_owned(), row).is_some() {
            wrong.push(format!("{label} stands twice in the index"));
        }
        // The last two cells name files: where it is made, where it is relied on.
        let files = cells.iter().rev().take(2);
        for file in files.flat_map(|cell| cell.split(',')).map(str::trim) {
            let file = file.trim_matches('`');
            let cites = cited
                .get(&format!("src/{file}"))
                .is_some_and(|labels| labels.contains(label));
            if !cites {
                wrong.push(format!("the index says that src/{file} cites {label}"));
            }
        }
    }
    for (file, labels) in cited {
        for label in labels {
            match known.get(label) {
                None => wrong.push(format!("{file}: {label} is not in docs/invariants.md")),
                Some(row) if !row.contains(file.trim_start_matches("src/")) => {
                    wrong.push(format!(
                        "{file}: the row of {label} does not name this file"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

/// Whether a file orders anything between threads, outside comments and its tests.
fn has_ordering(source: &str) -> bool {
    let code: Vec<&str> = source
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    code.join("\n")
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| ["Acquire", "Release", "AcqRel", "SeqCst"].contains(&word))
}

/// What is wrong between docs/orderings.md and the files (names below `src`, whether they order anything).
fn unlisted_orderings(index: &str, files: &[(String, bool)]) -> Vec<String> {
    let named: BTreeSet<&str> = index
        .split('`')
        .filter(|word| word.ends_with(".rs"))
        .collect();
    let mut wrong: Vec<String> = files
        .iter()
        .filter(|(file, orders)| *orders != named.contains(file.as_str()))
        .map(|(file, orders)| match orders {
            true => format!("src/{file} has an ordering and no row in docs/orderings.md"),
            false => format!("docs/orderings.md names src/{file}, which orders nothing"),
        })
        .collect();
    wrong.extend(
        named
            .iter()
            .filter(|name| !files.iter().any(|(file, _)| file == *name))
            .map(|name| format!("docs/orderings.md names src/{name}, which is no file")),
    );
    wrong
}

/// What the rows of docs/orderings.md say is published or seen by, and is in none of the files that the row
/// names.
fn unknown_names(index: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let quoted = |text: &str| -> Vec<String> {
        let words = text.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect()
    };
    let mut wrong = Vec::new();
    for row in index.lines().filter(|line| line.starts_with("| ")) {
        let files: Vec<_> = quoted(row)
            .into_iter()
            .filter(|word| word.ends_with(".rs"))
            .collect();
        let source: String = files.iter().map(|file| read(file)).collect();
        // What is ordered; published by; seen by; why.
        let sides = row.split(" | ").skip(1).take(2);
        for name in sides.flat_map(quoted).filter(|name| !name.ends_with(".rs")) {
            let name = name.rsplit("::").next().unwrap_or_default();
            if !source.contains(name) {
                wrong.push(format!("{name} is not in {files:?}: {row}"));
            }
        }
    }
    wrong
}

#[test]
fn the_names_in_the_list_of_orderings_are_in_their_files() {
    let index = fs::read_to_string(root().join("docs/orderings.md")).expect("the list");
    let read = |file: &str| fs::read_to_string(root().join("src").join(file)).unwrap_or_default();
    let wrong = unknown_names(&index, read);
    assert!(wrong.is_empty(), "{wrong:#?}");

    let row = "| data | `give` (`a.rs`) | `A::take` | as `b` says |";
    assert_eq!(unknown_names(row, |_| "give take".into()), [""; 0]);
    assert_eq!(unknown_names(row, |_| "give".into()).len(), 1);
}

#[test]
fn every_file_that_orders_memory_is_in_the_list_of_orderings() {
    let files: Vec<_> = comments()
        .into_keys()
        .filter_map(|name| Some(name.strip_prefix("src/")?.to_owned()))
        .filter(|file| !file.starts_with("loom_models"))
        .map(|file| {
            let source = fs::read_to_string(root().join("src").join(&file)).expect("a file");
            let orders = has_ordering(&source);
            (file, orders)
        })
        .collect();
    let index = fs::read_to_string(root().join("docs/orderings.md")).expect("the list");
    let wrong = unlisted_orderings(&index, &files);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_missing_row_and_a_row_too_many_are_found() {
    let files = [("a.rs".to_owned(), true), ("b.rs".to_owned(), false)];
    assert_eq!(unlisted_orderings("`a.rs`", &files).len(), 0);
    assert_eq!(unlisted_orderings("", &files).len(), 1);
    assert_eq!(
        unlisted_orderings("`a.rs`, `b.rs`, `c.rs`", &files).len(),
        2
    );
    assert!(has_ordering("x.load(Acquire) // y"));
    assert!(!has_ordering("x.load(Relaxed) // Acquire"));
}

#[test]
fn the_index_of_invariants_and_their_citations_agree() {
    let index = fs::read_to_string(root().join("docs/invariants.md")).expect("the index");
    let wrong = disagreements(&index, &citations());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_invariant_is_relied_on_somewhere() {
    assert_eq!(stated_only(comments().values()), [""; 0]);
    let texts = ["SLOT-1, SLOT-2", "by SLOT-1"].map(str::to_owned);
    assert_eq!(stated_only(texts.iter()), ["SLOT-2"]);
}

#[test]
fn every_kind_of_disagreement_is_seen() {
    let cited = |labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        BTreeMap::from([("src/stack/slot.rs".to_owned(), labels)])
    };
    let row = "| `SLOT-1` | One owner. | `stack/slot.rs` | `stack/slot.rs` |";
    assert_eq!(disagreements(row, &cited(&["SLOT-1"])), [""; 0]);
    assert_eq!(disagreements(row, &cited(&[])).len(), 2, "not cited");
    assert_eq!(disagreements("", &cited(&["SLOT-1"])).len(), 1, "unknown");
    let twice = format!("{row}\n{row}");
    assert_eq!(disagreements(&twice, &cited(&["SLOT-1"])).len(), 1, "twice");
    let elsewhere = "| `SLOT-1` | One owner. | `stack/guard.rs` | `stack/guard.rs` |";
    assert_eq!(disagreements(elsewhere, &cited(&["SLOT-1"])).len(), 3);
    assert_eq!(
        labels("by SLOT-1, UTF-8 and X-1; TCB-12."),
        ["SLOT-1", "TCB-12"]
    );
}
