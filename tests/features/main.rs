//! Features add and take nothing away: a library that uses the crate with few features compiles
//! beside one that enables all, for cargo builds the crate once with the features of both.
//!
//! The features of programs with a C library and of programs without one exclude each other, so
//! there are two such families.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that depends on the crate with these features and uses what they bring.
struct Dependant {
    name: &'static str,
    features: &'static [&'static str],
    /// Files of `uses/`, without `.rs`.
    uses: &'static [&'static str],
}

/// The last enables all that a program with a C library can have.
const WITH_LIBC: &[Dependant] = &[
    dependant("none", &[], &["every"]),
    dependant("alloc", &["alloc"], &["every", "alloc"]),
    dependant("diagnosis", &["diagnosis"], &["every"]),
    dependant("hosted", &["hosted"], &["every", "hosted"]),
    dependant(
        "hosted-alloc",
        &["hosted", "alloc"],
        &["every", "alloc", "hosted"],
    ),
    dependant("lock-api", &["lock_api"], &["every", "lock_api"]),
    dependant("std", &["std"], &["every", "alloc", "hosted", "std"]),
    dependant(
        "all",
        &["std", "hosted", "diagnosis", "alloc", "lock_api"],
        &["every", "alloc", "hosted", "lock_api", "std"],
    ),
];

/// The last enables all that a program without a C library can have.
const WITHOUT_LIBC: &[Dependant] = &[
    dependant("none", &[], &["every", "no_libc"]),
    dependant("alloc", &["alloc"], &["every", "alloc", "no_libc"]),
    dependant("diagnosis", &["diagnosis"], &["every", "no_libc"]),
    dependant("start", &["start"], &["every", "no_libc", "start"]),
    dependant("panic-thread", &["panic-thread"], &["every", "no_libc"]),
    dependant("lock-api", &["lock_api"], &["every", "lock_api", "no_libc"]),
    dependant(
        "all",
        &["start", "panic-thread", "diagnosis", "alloc", "lock_api"],
        &["every", "alloc", "lock_api", "no_libc", "start"],
    ),
];

const fn dependant(
    name: &'static str,
    features: &'static [&'static str],
    uses: &'static [&'static str],
) -> Dependant {
    Dependant {
        name,
        features,
        uses,
    }
}

#[test]
fn with_a_libc_each_feature_set_compiles_alone_and_beside_all() {
    check("with_libc", WITH_LIBC);
}

#[test]
fn without_libc_each_feature_set_compiles_alone_and_beside_all() {
    check("without_libc", WITHOUT_LIBC);
}

fn check(family: &str, dependants: &[Dependant]) {
    let workspace = write_workspace(family, dependants);
    // Cargo enables for a package what the packages that it was asked for enable.
    for dependant in dependants {
        cargo_check(&workspace, &["--package", dependant.name]);
    }
    cargo_check(&workspace, &["--workspace"]);
}

#[track_caller]
fn cargo_check(workspace: &Path, packages: &[&str]) {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--offline", "--quiet", "--target-dir"])
        .arg(workspace.join("target"))
        .args(packages)
        .current_dir(workspace)
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo check {packages:?}:\n{errors}"
    );
}

/// Writes a package for each dependant into a directory of this test's.
fn write_workspace(family: &str, dependants: &[Dependant]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("features")
        .join(family);
    fs::create_dir_all(&workspace).expect("a directory");
    // What the main lock file has is there without a network.
    fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).expect("a lock file");
    let names: Vec<_> = dependants.iter().map(|dependant| dependant.name).collect();
    let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {names:?}\n");
    fs::write(workspace.join("Cargo.toml"), manifest).expect("a manifest");
    for Dependant {
        name,
        features,
        uses,
    } in dependants
    {
        let package = workspace.join(name);
        fs::create_dir_all(&package).expect("a directory");
        let manifest = format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n\
             [dependencies]\nrawthread = {{ path = {root:?}, default-features = false, \
             features = {features:?} }}\n"
        );
        fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
        let mut source = String::from("#![no_std]\n");
        for file in *uses {
            let path = root
                .join("tests/features/uses")
                .join(file)
                .with_extension("rs");
            let _ = writeln!(source, "#[path = {path:?}]\npub mod uses_{file};");
        }
        fs::write(package.join("lib.rs"), source).expect("a source file");
    }
    workspace
}

/// Why `Result` has no `Box` without the feature `alloc`, and so another error without `std`.
#[test]
fn a_program_that_links_alloc_needs_an_allocator() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("features");
    fs::create_dir_all(&directory).expect("a directory");
    let source = directory.join("no_allocator.rs");
    let text = "#![no_std]\n#![no_main]\nextern crate alloc;\n#[panic_handler]\n\
                fn panicked(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n";
    let compile = |text: &str| {
        fs::write(&source, text).expect("a source file");
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "-Cpanic=abort", "--emit=metadata", "-o"])
            .arg(directory.join("no_allocator.rmeta"))
            .arg(&source)
            .output()
            .expect("rustc runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = compile(text);
    assert!(
        refused.contains("no global memory allocator found"),
        "{refused}"
    );
    assert_eq!(compile(&text.replace("extern crate alloc;\n", "")), "");
}

/// Public items that another feature takes away, each with the reason.
const VANISHES: &[(&str, &str)] = &[
    (
        "type Result<T>",
        "the type of join's error; the page of the crate says why",
    ),
    (
        "mod runtime",
        "initializes the main thread of a program that has no C library",
    ),
    ("use freestanding::init_main_thread", "as above"),
    (
        "use runtime::freestanding::start",
        "the entry of a program that has no C library",
    ),
];

/// An item under `not(feature = ...)` is one that a build with more features does not have, or has
/// with another type.
#[test]
fn no_feature_takes_a_public_item_away() {
    let mut allowed = vec![false; VANISHES.len()];
    let mut found = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            for item in vanishing_items(&text) {
                match VANISHES
                    .iter()
                    .position(|(start, _)| item.starts_with(start))
                {
                    Some(index) => allowed[index] = true,
                    None => found.push(format!("{}: {item}", path.display())),
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "features take away:\n{}",
        found.join("\n")
    );
    assert!(
        allowed.iter().all(|used| *used),
        "an exception has no item: {allowed:?}"
    );
}

/// The public items under a `cfg` with `not(feature` in it, from after `pub`.
fn vanishing_items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut attributes, mut depth) = (String::new(), 0i32);
    for line in text.lines().map(str::trim) {
        if depth > 0 || line.starts_with("#[") {
            attributes.push_str(line);
            depth += line.matches('[').count() as i32 - line.matches(']').count() as i32;
        } else if !line.starts_with("//") {
            let takes_away = ["not(feature", "not(any(feature", "not(all(feature"];
            let conditional = attributes.contains("cfg(");
            if conditional && takes_away.iter().any(|not| attributes.contains(not)) {
                items.extend(line.strip_prefix("pub "));
            }
            attributes.clear();
        }
    }
    items
}

#[test]
fn a_vanishing_item_is_recognized() {
    let text = "#[cfg(not(feature = \"std\"))]\n/// Text.\npub fn f() {}\n\
                #[cfg(\n    not(any(feature = \"a\", feature = \"b\"))\n)]\npub struct S;\n\
                #[cfg(not(feature = \"std\"))]\nfn private() {}\n\
                #[cfg(not(test))]\npub fn always() {}\n#[inline]\npub fn g() {}\n";
    assert_eq!(vanishing_items(text), ["fn f() {}", "struct S;"]);
}
