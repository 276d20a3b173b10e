//! The rules of the source tree, kept by tests: which layer imports which, that no files use each
//! other in a circle, where assembly may stand, how long a file may be, and what lies on the top
//! level.

use std::fs;

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/source.rs"]
mod source;

use source::{Source, root, rust_files};

/// The layers of `src`, from the bottom up. A file imports from layers below its own, and within
/// its layer from files that do not, directly or by others, import from it.
const LAYERS: [&str; 11] = [
    "sys",
    "primitive",
    "flags",
    "error",
    "diagnosis",
    "sync",
    "arena",
    "stack",
    "runtime",
    "thread",
    "process",
];

/// The longest a file may be, in lines.
const LONGEST: usize = 500;

/// Where Rust code of the project lives.
const CODE: [&str; 5] = ["src", "lab", "tests", "benches", "examples"];

/// Crates whose files must not use each other in a circle, by the folder of their root.
const CRATES: [&str; 3] = ["src", "lab/src", "benches/common"];

/// Places that may hold assembly, each with its reason.
const MAY_HOLD_ASSEMBLY: &[(&str, &str)] = &[
    ("src/sys/arch/", "the layer's purpose"),
    (
        "benches/",
        "a bare clone is what this crate is measured against: it must not be built on it",
    ),
    (
        "lab/src/bench/bare_clone.rs",
        "a link to that of the benches",
    ),
    (
        "tests/flags/bare_clone.rs",
        "its child may run on its caller's stack: it must leave without touching it",
    ),
];

/// Places that may ask for the architecture, each with its reason.
const MAY_NAME_ARCH: &[(&str, &str)] = &[
    ("src/sys/arch/", "the layer's purpose"),
    ("src/lib.rs", "refuses to compile for other architectures"),
];

/// What may lie on the top level. The owner of the project fixed the first five.
const TOP_LEVEL: [&str; 18] = [
    "Cargo.toml",
    "src",
    "tests",
    "benches",
    "LICENSE",
    // What a reader, a user and CI look for there.
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "examples",
    "lab",
    "ci",
    ".ci",
    // What cargo and git put there or need there.
    "Cargo.lock",
    "deny.toml",
    ".gitignore",
    ".gitattributes",
];

/// What git ignores, or is git.
const NOT_OURS: [&str; 2] = [".git", "target"];

fn all_code() -> Vec<Source> {
    CODE.iter().flat_map(|dir| rust_files(dir)).collect()
}

fn too_long(files: &[Source]) -> Vec<String> {
    files
        .iter()
        .map(|file| (&file.path, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| {
            format!("{path}: {lines} lines, more than {LONGEST}: split it by question")
        })
        .collect()
}

/// Every public item without an example in its documentation. That `pub` means public, and not
/// `pub(crate)`, is the lint `unreachable_pub`'s to see to.
fn without_example(files: &[Source]) -> Vec<String> {
    let mut lacking = Vec::new();
    for Source { path, text } in files {
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
fn a_layer_imports_from_layers_below_it() {
    assert_none(&layers::upward_imports(&LAYERS, &rust_files("src")));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles = CRATES
        .iter()
        .flat_map(|dir| layers::file_circles(&rust_files(dir), dir));
    assert_none(&circles.collect::<Vec<_>>());
}

#[test]
fn no_module_uses_what_is_private_to_an_enclosing_one() {
    let private = CRATES
        .iter()
        .flat_map(|dir| layers::private_imports(&rust_files(dir), dir));
    assert_none(&private.collect::<Vec<_>>());
}

#[test]
fn assembly_stays_in_its_layer() {
    let words = ["asm", "naked_asm", "global_asm"];
    assert_none(&layers::stray_words(&all_code(), &words, MAY_HOLD_ASSEMBLY));
}

#[test]
fn the_architecture_is_asked_for_in_one_place() {
    assert_none(&layers::stray_words(
        &rust_files("src"),
        &["target_arch"],
        MAY_NAME_ARCH,
    ));
}

#[test]
fn no_function_holds_a_cfg() {
    assert_none(&layers::cfg_in_functions(&rust_files("src")));
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

    fn file(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    fn files(texts: &[(&str, &str)]) -> Vec<Source> {
        texts
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect()
    }

    #[test]
    fn on_an_import_from_above() {
        let order = ["sys", "flags", "thread"];
        let with = |path: &str, text: &str| {
            let known = [
                ("src/lib.rs", "pub use thread::spawn;"),
                (
                    "src/sys/mod.rs",
                    "pub(crate) mod clone; pub(crate) struct Errno;",
                ),
                ("src/flags/mod.rs", "pub struct CloneFlags;"),
                ("src/thread/mod.rs", "mod spawn; pub use spawn::spawn;"),
                ("src/thread/spawn.rs", "pub fn spawn() {}"),
                (path, text),
            ];
            layers::upward_imports(&order, &files(&known)).len()
        };
        let clone = "src/sys/clone.rs";
        assert_eq!(with(clone, "use crate::flags::CloneFlags;"), 1);
        assert_eq!(with(clone, "fn f() { crate::thread::spawn() }"), 1);
        assert_eq!(
            with(
                clone,
                "use super::super::thread; fn f() { thread::spawn() }"
            ),
            1
        );
        assert_eq!(
            with(clone, "use crate::{flags::{CloneFlags}, thread::spawn};"),
            2
        );
        assert_eq!(with(clone, "use crate::spawn;"), 1, "by the root");
        assert_eq!(with("src/cellar/mod.rs", ""), 1, "an unlisted layer");
        assert_eq!(
            with(
                "src/thread/set.rs",
                "use crate::{flags::CloneFlags, sys::Errno};"
            ),
            0
        );
        assert_eq!(with(clone, "// see crate::flags::CloneFlags"), 0);
        assert_eq!(
            with(
                clone,
                "#[cfg(test)] mod tests { use crate::flags::CloneFlags; }"
            ),
            0
        );
    }

    #[test]
    fn on_a_circle() {
        let tied = |a: &str, b: &str| {
            let texts = [
                ("src/lib.rs", "mod thread;"),
                (
                    "src/thread/mod.rs",
                    "mod a; mod b; pub use a::A; pub use b::B;",
                ),
                ("src/thread/a.rs", a),
                ("src/thread/b.rs", b),
            ];
            layers::file_circles(&files(&texts), "src").len()
        };
        assert_ne!(
            tied(
                "pub struct A(super::b::B);",
                "use super::a::A; pub struct B;"
            ),
            0
        );
        assert_ne!(
            tied(
                "use super::B; pub struct A;",
                "use crate::thread::A; pub struct B;"
            ),
            0,
            "by what their parent exports"
        );
        assert_ne!(
            tied(
                "use super::b; pub struct A; fn f() { b::B; }",
                "use super::A as X; pub struct B;"
            ),
            0
        );
        assert_eq!(tied("use super::B; pub struct A;", "pub struct B;"), 0);
    }

    #[test]
    fn on_a_private_item_of_the_parent() {
        let uses = |parent: &str, child: &str| {
            let texts = [("src/thread/mod.rs", parent), ("src/thread/a.rs", child)];
            layers::private_imports(&files(&texts), "src").len()
        };
        assert_eq!(uses("mod a; const X: u32 = 1;", "use super::X;"), 1);
        assert_eq!(uses("mod a; fn x() {}", "fn f() { super::x() }"), 1);
        assert_eq!(
            uses("mod a; pub(crate) const X: u32 = 1;", "use super::X;"),
            0
        );
    }

    #[test]
    fn on_a_cfg_in_a_function() {
        let found = |text: &str| layers::cfg_in_functions(&file("src/a.rs", text)).len();
        assert_eq!(found("fn f() { #[cfg(feature = \"std\")] g(); }"), 1);
        assert_eq!(found("fn f() -> bool { cfg!(feature = \"std\") }"), 1);
        assert_eq!(found("#[cfg(feature = \"std\")] fn f() {}"), 0);
        assert_eq!(found("struct S { #[cfg(feature = \"std\")] x: u32 }"), 0);
    }

    #[test]
    fn on_stray_assembly() {
        let words = ["asm", "naked_asm"];
        let stray = |path: &str, text: &str| {
            layers::stray_words(&file(path, text), &words, MAY_HOLD_ASSEMBLY).len()
        };
        let line = "fn f() { unsafe { asm!(\"nop\") } }";
        assert_eq!(stray("src/thread/spawn/entry.rs", line), 1);
        assert_eq!(stray("lab/src/main.rs", "naked_asm!(\"ret\");"), 1);
        assert_eq!(stray("src/sys/arch/x86_64.rs", line), 0);
        assert_eq!(stray("src/thread/spawn/entry.rs", "// no asm! here"), 0);
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
        for (path, _) in MAY_HOLD_ASSEMBLY.iter().chain(MAY_NAME_ARCH) {
            assert!(
                root().join(path).exists(),
                "{path} is gone: strike it off the list"
            );
        }
    }
}
