//! Which names `std::thread` has, by the toolchain's own documentation, beside the table of
//! `docs/dropin.md` and the test of each name.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The pages of `std::thread`, and the version that they are of; `None` without the component rust-docs.
fn pages() -> Option<(PathBuf, String)> {
    let sysroot = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let pages = PathBuf::from(sysroot.trim()).join("share/doc/rust/html/std/thread");
    let version = fs::read_dir(&pages).ok()?.find_map(|file| {
        let name = file.ok()?.file_name().into_string().ok()?;
        let version = name.strip_prefix("sidebar-items")?.strip_suffix(".js")?;
        Some(version.to_owned())
    })?;
    Some((pages, version))
}

/// Items as `name`, methods as `Type::name`.
fn names(pages: &PathBuf) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(pages).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some((kind, item)) = name.strip_suffix(".html").and_then(|n| n.split_once('.')) else {
            continue;
        };
        names.insert(item.to_owned());
        if kind != "struct" {
            continue;
        }
        let page = fs::read_to_string(file.path()).unwrap();
        // Methods of the type's own; what traits bring is behind this heading.
        let own = page.split("id=\"trait-implementations\"").next().unwrap();
        for method in own.split("<section id=\"method.").skip(1) {
            let method = method.split('"').next().unwrap();
            // "set-1": of another block of the same name.
            let method = method.split('-').next().unwrap();
            names.insert(format!("{item}::{method}"));
        }
    }
    names
}

#[test]
fn the_table_has_every_name_of_std_thread() {
    let Some((pages, version)) = pages() else {
        println!("SKIP: the toolchain has no documentation (rustup component add rust-docs)");
        return;
    };
    let names = names(&pages);
    assert!(names.len() > 40, "{names:?}");
    let table = include_str!("../../docs/dropin.md");
    let (_, table) = table.split_once("## Every name").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !table.contains(&format!("`{name}`")))
        .collect();
    if missing.is_empty() {
        return;
    }
    // What a later std adds is for a later version of this crate.
    if version == "1.95.0" {
        panic!("docs/dropin.md has no {missing:?}");
    }
    println!(
        "SKIP: the documentation of Rust {version} has {missing:?}, and the table is of 1.95.0"
    );
}

/// What std's page of `item` has, if it is one of std's.
fn is_std(item: &str, name: &str) -> bool {
    match item {
        "Builder" => [
            "new",
            "name",
            "stack_size",
            "spawn",
            "spawn_scoped",
            "spawn_unchecked",
        ]
        .contains(&name),
        "JoinHandle" => ["join", "thread", "is_finished"].contains(&name),
        // Accessors of a set.
        "JoinSet" => ["new", "spawn", "len", "is_empty"].contains(&name),
        _ => [
            "available_parallelism",
            "current",
            "panicking",
            "park",
            "park_timeout",
            "park_timeout_ms",
            "scope",
            "sleep",
            "sleep_ms",
            "spawn",
            "yield_now",
        ]
        .contains(&item),
    }
}

/// The public functions and methods of threads that std does not have, by `docs/api.txt`.
fn additions() -> BTreeSet<&'static str> {
    let api = include_str!("../../docs/api.txt");
    let mut additions = BTreeSet::new();
    for line in api.lines() {
        let Some((item, declaration)) = line.strip_prefix("rawthread::").and_then(|line| {
            let (item, declaration) = line.split_once(": pub ")?;
            Some((item, declaration))
        }) else {
            continue;
        };
        let Some((_, after)) = declaration.split_once("fn ") else {
            continue;
        };
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &after[..end.unwrap()];
        let is_counted = match item {
            "Builder" | "JoinHandle" | "JoinSet" => true,
            // A function has its own name for a page.
            _ => item == name || item.strip_prefix("warm::") == Some(name),
        };
        if is_counted && !is_std(item, name) {
            additions.insert(name);
        }
    }
    additions
}

#[test]
fn the_tables_have_every_addition_to_std() {
    let additions = additions();
    assert!(additions.len() > 40, "{additions:?}");
    let tables = [
        (
            "README.md",
            include_str!("../../README.md"),
            "### What std::thread does not have",
        ),
        (
            "src/lib.rs",
            include_str!("../../src/lib.rs"),
            "# What `std::thread` does not have",
        ),
    ];
    for (file, text, heading) in tables {
        let (_, table) = text.split_once(heading).unwrap();
        let end = table.find("\n//! # ").or(table.find("\nIn a process with"));
        let table = &table[..end.unwrap()];
        let words: BTreeSet<_> = table
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        let missing: Vec<_> = additions
            .iter()
            .filter(|name| !words.contains(*name))
            .collect();
        assert!(missing.is_empty(), "{file} has no {missing:?}");
    }
}
