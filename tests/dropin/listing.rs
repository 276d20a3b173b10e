//! Which names `std::thread` and `std::process` have, by the toolchain's own documentation, beside the tables
//! of `docs/dropin.md` and `docs/process.md`, and the test of each name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pages of std's module, and the version that they are of; `None` without the component rust-docs.
fn pages(module: &str) -> Option<(PathBuf, String)> {
    let sysroot = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let pages = PathBuf::from(sysroot.trim())
        .join("share/doc/rust/html/std")
        .join(module);
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
        if kind == "struct" {
            names.extend(methods(&file.path(), item));
        }
    }
    names
}

/// The methods of a type or trait, as `Type::name`.
fn methods(page: &Path, item: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(page).unwrap();
    // Methods of its own; what traits bring is behind this heading.
    let own = page.split("id=\"trait-implementations\"").next().unwrap();
    let ids = own.split("<section id=\"").skip(1);
    let methods = ids.filter_map(|id| id.strip_prefix("method.").or(id.strip_prefix("tymethod.")));
    methods
        .map(|method| {
            let method = method.split('"').next().unwrap();
            // "set-1": of another block of the same name.
            let method = method.split('-').next().unwrap();
            format!("{item}::{method}")
        })
        .collect()
}

#[test]
fn the_table_has_every_name_of_std_thread() {
    let Some((pages, version)) = pages("thread") else {
        println!("SKIP: the toolchain has no documentation (rustup component add rust-docs)");
        return;
    };
    let names = names(&pages);
    let table = include_str!("../../docs/dropin.md");
    compare("docs/dropin.md", table, &names, &version);
}

#[test]
fn the_table_has_every_name_of_std_process() {
    let Some((pages, version)) = pages("process") else {
        println!("SKIP: the toolchain has no documentation (rustup component add rust-docs)");
        return;
    };
    let mut names = names(&pages);
    for system in ["unix", "linux"] {
        let traits = pages.join("../os").join(system).join("process");
        for item in ["CommandExt", "ExitStatusExt", "ChildExt"] {
            let page = traits.join(format!("trait.{item}.html"));
            if page.exists() {
                names.extend(methods(&page, item));
            }
        }
    }
    let table = include_str!("../../docs/process.md");
    compare("docs/process.md", table, &names, &version);
}

/// Whether the table of the file has all names.
fn compare(file: &str, table: &str, names: &BTreeSet<String>, version: &str) {
    assert!(names.len() > 40, "{names:?}");
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
        panic!("{file} has no {missing:?}");
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

/// The tests that the comparison of `docs/process.md` names.
#[test]
fn the_comparison_of_commands_names_tests_that_exist() {
    let text = include_str!("../../docs/process.md");
    let (_, table) = text.split_once("## Beside std, Go and Python").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut count = 0;
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let (file, test) = cell.trim_matches('`').split_once("::").unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process");
        let source = fs::read_to_string(source.join(file).with_extension("rs")).unwrap();
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{cell}");
        count += 1;
    }
    assert!(count > 25, "{count} rows");
}
