//! The rules of the house, kept by a test: who may use whom, where assembly may stand, how long a
//! file may be, and what lies on the top level.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest a file may be, in lines.
const LONGEST: usize = 500;

/// Where Rust code of the project lives.
const CODE: [&str; 5] = ["src", "lab", "tests", "benches", "examples"];

/// Files outside `src/sys/arch` that may hold assembly, each for a reason.
const MAY_HOLD_ASSEMBLY: [&str; 4] = [
    // The floor is what this crate is measured against, so it must not be built on it.
    "benches/common/bare_clone.rs",
    "benches/freestanding/bare_clone/src/main.rs",
    // This test names what it looks for.
    "tests/architecture.rs",
    // A bare clone's child may stand on its maker's stack: it must leave without touching it.
    "tests/flags/bare_clone.rs",
];

/// What may lie on the top level. The owner of the project fixed the first five.
const TOP_LEVEL: [&str; 14] = [
    "Cargo.toml",
    "src",
    "tests",
    "benches",
    "LICENSE",
    // What a reader, a user and CI look for there.
    "README.md",
    "CHANGELOG.md",
    "examples",
    "lab",
    "ci",
    ".ci",
    // What cargo and git put there or need there.
    "Cargo.lock",
    ".gitignore",
    ".gitattributes",
];

/// What git ignores, or is git.
const NOT_OURS: [&str; 2] = [".git", "target"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `dir`, as (path from the root, text).
fn rust_files(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = vec![root().join(dir)];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a directory that can be listed").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                found.push((name.to_str().expect("plain names").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn all_code() -> Vec<(String, String)> {
    CODE.iter().flat_map(|dir| rust_files(dir)).collect()
}

/// The rooms in order, from the line that starts with `//! ROOMS:`.
fn rooms(lib: &str) -> Vec<&str> {
    lib.lines()
        .find_map(|line| line.strip_prefix("//! ROOMS:"))
        .expect("src/lib.rs states the order of rooms in a line ROOMS:")
        .split(',')
        .map(str::trim)
        .collect()
}

/// The room that a file of `src` belongs to; none for `lib.rs` and the loom models, which see all.
fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let room = inside.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (!matches!(room, "lib" | "loom_models")).then_some(room)
}

/// How many `super::` lead from a file of `src` to the crate's root.
fn depth_of(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.trim_end_matches("/mod").split('/').count()
}

/// The code of a line, without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// The rooms that a file names by a path from the crate's root: `crate::a::...`,
/// `crate::{a::..., b}`, or as many `super::` as lead there.
fn rooms_used(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    let code: Vec<&str> = text.lines().map(code_of).collect();
    let to_the_root = "super::".repeat(depth_of(path));
    let whole = code.join("\n").replace(&to_the_root, "crate::");
    for (at, _) in whole.match_indices("crate::") {
        // `$crate::` in a macro is expanded elsewhere, but names the same rooms.
        let line = whole[..at].matches('\n').count() + 1;
        let rest = &whole[at + "crate::".len()..];
        let names: Vec<String> = match rest.strip_prefix('{') {
            Some(group) => heads_of_group(group),
            None => vec![identifier(rest)],
        };
        used.extend(names.into_iter().map(|name| (line, name)));
    }
    used
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first names of each branch in `{a::{b, c}, d}`, given the text after the opening brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut at_head = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            _ if at_head && !c.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// Every use of a room that does not lie below the user's own.
fn broken_order(rooms: &[&str], files: &[(String, String)]) -> Vec<String> {
    let place = |name: &str| rooms.iter().position(|room| *room == name);
    let mut broken = Vec::new();
    for (path, text) in files {
        let Some(room) = room_of(path) else { continue };
        let Some(own) = place(room) else {
            broken.push(format!("{path}: the room {room} is not in the ROOMS line"));
            continue;
        };
        for (line, name) in rooms_used(path, text) {
            if place(&name).is_some_and(|used| used > own) {
                broken.push(format!(
                    "{path}:{line}: {room} may not use {name}, which lies above it"
                ));
            }
        }
    }
    broken
}

/// Every line of assembly where none may be.
fn stray_assembly(files: &[(String, String)]) -> Vec<String> {
    let mut stray = Vec::new();
    for (path, text) in files {
        if path.starts_with("src/sys/arch/") || MAY_HOLD_ASSEMBLY.contains(&path.as_str()) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if code_of(line).contains("asm!") {
                stray.push(format!(
                    "{path}:{}: assembly lives in src/sys/arch",
                    index + 1
                ));
            }
        }
    }
    stray
}

fn too_long(files: &[(String, String)]) -> Vec<String> {
    files
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| {
            format!("{path}: {lines} lines, more than {LONGEST}: split it by question")
        })
        .collect()
}

/// Every public item without an example in its documentation. That `pub` means public, and not
/// `pub(crate)`, is the lint `unreachable_pub`'s to see to.
fn without_example(files: &[(String, String)]) -> Vec<String> {
    let mut lacking = Vec::new();
    for (path, text) in files {
        let lines: Vec<&str> = text.lines().collect();
        // The line that closes the hidden module or the public trait we are in.
        let (mut end_of_hidden, mut end_of_trait) = (None, None);
        for (at, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let closing = || Some(format!("{}}}", &line[..line.len() - code.len()]));
            if end_of_hidden.is_some() {
                end_of_hidden = end_of_hidden.filter(|end| line != end);
                continue;
            }
            end_of_trait = end_of_trait.filter(|end| line != end);
            let hidden = || above(&lines, at).contains(&"#[doc(hidden)]");
            if code.starts_with("pub mod ") && code.ends_with('{') && hidden() {
                end_of_hidden = closing();
            }
            let in_trait = end_of_trait.is_some() && names_item(code, &["fn"]);
            if !in_trait && !is_public_item(code, &lines, at) {
                continue;
            }
            if code.starts_with("pub trait ") && code.ends_with('{') {
                end_of_trait = closing();
            }
            let has_example = above(&lines, at)
                .iter()
                .any(|line| line.starts_with("/// ```"));
            if !has_example && !hidden() {
                lacking.push(format!("{path}:{}: no example: {code}", at + 1));
            }
        }
    }
    lacking
}

/// Whether a line begins one of these items, behind whatever qualifies it.
fn names_item(code: &str, items: &[&str]) -> bool {
    let mut words = code.split_whitespace().peekable();
    // `const fn` is a function, `const X` a constant.
    loop {
        match words.next() {
            Some(word) if items.contains(&word) && words.peek() != Some(&"fn") => return true,
            Some("const" | "unsafe" | "async" | "extern" | "\"C\"") => {}
            _ => return false,
        }
    }
}

fn is_public_item(code: &str, lines: &[&str], at: usize) -> bool {
    const ITEMS: [&str; 8] = [
        "fn", "struct", "enum", "union", "trait", "type", "const", "static",
    ];
    match code.strip_prefix("pub ") {
        Some(rest) => names_item(rest, &ITEMS),
        None => code.starts_with("macro_rules!") && above(lines, at).contains(&"#[macro_export]"),
    }
}

/// The comments and attributes right above a line, from below.
fn above<'a>(lines: &[&'a str], at: usize) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut in_attribute = false;
    for line in lines[..at].iter().rev().map(|line| line.trim()) {
        if line.starts_with("#[") {
            in_attribute = false;
        } else if !line.starts_with("//") {
            // An attribute of many lines ends in `]`.
            in_attribute |= line.ends_with(")]");
            if !in_attribute {
                break;
            }
        }
        found.push(line);
    }
    found
}

fn unknown_on_top(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !NOT_OURS.contains(&name.as_str()))
        .map(|name| format!("{name}: nothing else belongs on the top level"))
        .collect()
}

#[track_caller]
fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let files = rust_files("src");
    let lib = &files
        .iter()
        .find(|(path, _)| path == "src/lib.rs")
        .expect("a front door")
        .1;
    assert_none(&broken_order(&rooms(lib), &files));
}

#[test]
fn assembly_stays_in_its_room() {
    assert_none(&stray_assembly(&all_code()));
}

#[test]
fn files_stay_short() {
    assert_none(&too_long(&all_code()));
}

#[test]
fn every_public_item_has_an_example() {
    assert_none(&without_example(&rust_files("src")));
}

#[test]
fn the_top_level_is_fixed() {
    let names: Vec<String> = fs::read_dir(root())
        .expect("the root can be listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("plain names")
        })
        .collect();
    assert_none(&unknown_on_top(&names));
}

/// The rules themselves, shown able to fail.
mod the_rules_can_fail {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<(String, String)> {
        vec![(path.to_owned(), text.to_owned())]
    }

    #[test]
    fn on_a_room_that_reaches_up() {
        let order = ["sys", "flags", "thread"];
        let reach = |path: &str, text: &str| broken_order(&order, &file(path, text));
        assert_eq!(
            reach("src/sys/clone.rs", "use crate::flags::CloneFlags;").len(),
            1
        );
        assert_eq!(
            reach("src/sys/clone.rs", "fn f() { crate::thread::x() }").len(),
            1
        );
        assert_eq!(
            reach(
                "src/sys.rs",
                "use crate::{sys::{a, thread}, thread::T, flags};"
            )
            .len(),
            2
        );
        assert_eq!(reach("src/cellar/mod.rs", "").len(), 1, "an unlisted room");
        assert_none(&reach(
            "src/thread/spawn/prepare.rs",
            "use crate::{flags, sys::Errno};",
        ));
        assert_none(&reach("src/sys/clone.rs", "// see crate::flags"));
        assert_none(&reach("src/lib.rs", "pub use crate::thread::spawn;"));
    }

    #[test]
    fn on_stray_assembly() {
        let line = "    unsafe { asm!(\"nop\") }";
        assert_eq!(
            stray_assembly(&file("src/thread/spawn/entry.rs", line)).len(),
            1
        );
        assert_eq!(
            stray_assembly(&file("lab/src/main.rs", "naked_asm!(\"ret\")")).len(),
            1
        );
        assert_none(&stray_assembly(&file("src/sys/arch/x86_64.rs", line)));
        assert_none(&stray_assembly(&file(
            "src/thread/spawn/entry.rs",
            "// no asm! here",
        )));
    }

    #[test]
    fn on_a_long_file() {
        assert_eq!(
            too_long(&file("src/a.rs", &"x\n".repeat(LONGEST + 1))).len(),
            1
        );
        assert_none(&too_long(&file("src/a.rs", &"x\n".repeat(LONGEST))));
    }

    #[test]
    fn on_an_item_without_an_example() {
        let lacks = |text: &str| without_example(&file("src/a.rs", text)).len();
        for item in [
            "pub fn f() {}",
            "pub const unsafe fn f() {}",
            "pub const C: u32 = 1;",
            "pub struct S;",
            "pub trait T {}",
        ] {
            assert_eq!(lacks(&format!("/// Words.\n{item}")), 1, "{item}");
            let shown = format!("/// ```\n/// ```\n#[allow(\n    dead_code\n)]\n{item}");
            assert_eq!(lacks(&shown), 0, "{item}");
        }
        assert_eq!(lacks("/// ```\n/// ```\npub fn f() {}\npub fn g() {}"), 1);
        assert_eq!(lacks("#[macro_export]\nmacro_rules! m {}"), 1);
        assert_eq!(
            lacks("/// ```\npub trait T {\n    fn f();\n}\nfn own() {}"),
            1
        );
        assert_eq!(
            lacks("pub(crate) fn f() {}\nfn g() {}\nmacro_rules! m {}"),
            0
        );
        assert_eq!(
            lacks("#[doc(hidden)]\npub mod m {\n    pub fn f() {}\n}\npub fn g() {}"),
            1
        );
    }

    #[test]
    fn on_clutter() {
        let names = ["src", "notes.txt"].map(str::to_owned);
        assert_eq!(unknown_on_top(&names).len(), 1);
    }

    #[test]
    fn on_a_list_of_exceptions_that_is_out_of_date() {
        for path in MAY_HOLD_ASSEMBLY {
            assert!(
                root().join(path).exists(),
                "{path} is gone: strike it off the list"
            );
        }
    }
}
