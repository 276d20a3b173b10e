//! Which file uses which: paths of Rust resolved to the files that define what they name.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token, end_of_group};

/// A module path from the crate's root.
type Path = Vec<String>;

/// One file uses an item that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) line: usize,
    pub(crate) to: String,
    /// The item's path.
    pub(crate) item: String,
    /// The item is private to a module that encloses the user's.
    pub(crate) is_private: bool,
}

/// A module: where it stands and what its scope has.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// Items and whether they have a visibility.
    items: BTreeMap<String, bool>,
    /// Names brought in by `use`: what they stand for, and whether the `use` has a visibility.
    imports: BTreeMap<String, (Path, bool)>,
    /// `use path::*`.
    globs: Vec<(Path, bool)>,
}

/// A path as it was written: in which module, on which line.
#[derive(Debug)]
struct Mention {
    module: Path,
    line: usize,
    path: Path,
}

/// A crate's modules and what they mention.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Path, Module>,
    mentions: Vec<Mention>,
}

/// The module path of a file below `dir`.
fn module_of(path: &str, dir: &str) -> Path {
    let inside = path.strip_prefix(dir).unwrap_or(path).trim_matches('/');
    let inside = inside.trim_end_matches(".rs");
    let mut parts: Path = inside.split('/').map(str::to_owned).collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts
}

impl Crate {
    /// Reads a crate whose root stands directly in `dir`.
    pub(crate) fn read(files: &[Source], dir: &str) -> Self {
        let mut this = Self::default();
        for file in files {
            let module = module_of(&file.path, dir);
            this.read_module(&file.path, module, &file.tokens());
        }
        this
    }

    fn read_module(&mut self, file: &str, module: Path, tokens: &[Token]) {
        let entry = self.modules.entry(module.clone()).or_default();
        file.clone_into(&mut entry.file);
        let mut at = 0;
        while at < tokens.len() {
            let text = tokens[at].text.as_str();
            let next = tokens.get(at + 1);
            let name = next
                .filter(|next| next.is_ident)
                .map(|next| next.text.clone());
            match (text, name) {
                ("mod", Some(name)) if tokens.get(at + 2).is_some_and(|t| t.text == "{") => {
                    let end = end_of_group(tokens, at + 2);
                    self.add_item(&module, &name, is_visible(tokens, at));
                    let mut inner = module.clone();
                    inner.push(name);
                    self.read_module(file, inner, &tokens[at + 3..end - 1]);
                    at = end;
                }
                ("use", _) if next.is_some_and(|next| next.text != "<") => {
                    at = self.read_use(&module, tokens, at);
                }
                (
                    "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                    | "mod",
                    Some(name),
                ) => {
                    self.add_item(&module, &name, is_visible(tokens, at));
                    at += 2;
                }
                ("static", None) | ("const", None) => at += 1,
                _ if tokens[at].is_ident && next.is_some_and(|next| next.text == "::") => {
                    at = self.read_path(&module, tokens, at);
                }
                _ => at += 1,
            }
        }
    }

    fn add_item(&mut self, module: &Path, name: &str, visible: bool) {
        let items = &mut self.modules.entry(module.clone()).or_default().items;
        *items.entry(name.to_owned()).or_insert(false) |= visible;
    }

    /// A path in an expression, a type or a pattern; returns the index behind it.
    fn read_path(&mut self, module: &Path, tokens: &[Token], start: usize) -> usize {
        let mut at = start;
        let mut path = vec![tokens[at].text.clone()];
        while tokens.get(at + 1).is_some_and(|t| t.text == "::")
            && tokens.get(at + 2).is_some_and(|t| t.is_ident)
        {
            path.push(tokens[at + 2].text.clone());
            at += 2;
        }
        // `$crate::name`, in an exported macro: what the macro's user writes, by the public name.
        let continues = start > 0 && matches!(&*tokens[start - 1].text, "::" | "$");
        if !continues {
            self.mentions.push(Mention {
                module: module.clone(),
                line: tokens[start].line,
                path,
            });
        }
        at + 1
    }

    /// A `use`; returns the index behind its `;`.
    fn read_use(&mut self, module: &Path, tokens: &[Token], start: usize) -> usize {
        let visible = is_visible(tokens, start);
        let mut end = start;
        while tokens.get(end).is_some_and(|t| t.text != ";") {
            end += 1;
        }
        self.read_use_tree(module, &tokens[start + 1..end], &[], visible);
        end + 1
    }

    fn read_use_tree(&mut self, module: &Path, tokens: &[Token], prefix: &[String], visible: bool) {
        let mut path = prefix.to_vec();
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at].text.as_str() {
                "::" => at += 1,
                "{" => {
                    let inner = &tokens[at + 1..end_of_group(tokens, at) - 1];
                    for branch in split_at_commas(inner) {
                        self.read_use_tree(module, branch, &path, visible);
                    }
                    return;
                }
                "*" => {
                    let entry = self.modules.entry(module.clone()).or_default();
                    entry.globs.push((path, visible));
                    return;
                }
                "as" => break,
                segment => {
                    path.push(segment.to_owned());
                    at += 1;
                }
            }
        }
        let Some(first) = tokens.first() else { return };
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let alias = match tokens.iter().position(|t| t.text == "as") {
            Some(at) => tokens.get(at + 1).map(|t| t.text.clone()),
            None => path.last().cloned(),
        };
        self.mentions.push(Mention {
            module: module.clone(),
            line: first.line,
            path: path.clone(),
        });
        if let Some(alias) = alias {
            let entry = self.modules.entry(module.clone()).or_default();
            entry.imports.insert(alias, (path, visible));
        }
    }

    /// A path as written in `module`, from the crate's root; `None` if it leads out of the crate.
    fn absolute(&self, module: &Path, path: &[String], depth: usize) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut whole: Path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => {
                let mut parent = module.clone();
                parent.pop()?;
                parent
            }
            name => {
                let here = self.modules.get(module)?;
                let mut child = module.clone();
                child.push(name.to_owned());
                if self.modules.contains_key(&child) {
                    child
                } else if let Some((target, _)) = here.imports.get(name).filter(|_| depth < 16) {
                    // `use name;` names a crate.
                    if target.len() == 1 {
                        return None;
                    }
                    self.absolute(module, target, depth + 1)?
                } else {
                    return None;
                }
            }
        };
        for segment in rest {
            if segment == "super" {
                whole.pop()?;
            } else {
                whole.push(segment.clone());
            }
        }
        Some(whole)
    }

    /// The module that defines what an absolute path names, and the item's name in it; `None` for a
    /// module as a whole.
    fn definition(&self, path: &Path, depth: usize) -> Option<(Path, String)> {
        let depth = depth + 1;
        let is_module = |length: &usize| self.modules.contains_key(&path[..*length]);
        let mut length = (0..=path.len()).rev().find(is_module)?;
        if length == path.len() {
            // A function may have its module's name: `mod spawn; pub use spawn::spawn;`.
            let (name, parent) = path.split_last()?;
            if !self.modules.get(parent)?.imports.contains_key(name) {
                return None;
            }
            length -= 1;
        }
        let (module, rest) = path.split_at(length);
        let name = rest.first()?;
        let here = &self.modules[module];
        let module = module.to_vec();
        let is_import = here.imports.contains_key(name);
        if (here.items.contains_key(name) && !is_import) || depth > 16 {
            return Some((module, name.clone()));
        }
        let follow = |target: &Path| {
            let mut whole = self.absolute(&module, target, 0)?;
            whole.extend(rest[1..].iter().cloned());
            self.definition(&whole, depth)
        };
        if let Some((target, _)) = here.imports.get(name) {
            return follow(target);
        }
        for (glob, _) in &here.globs {
            let mut target = glob.clone();
            target.push(name.clone());
            let found = follow(&target);
            if found
                .as_ref()
                .is_some_and(|(module, name)| self.modules[module].items.contains_key(name))
            {
                return found;
            }
        }
        Some((module, name.clone()))
    }

    /// Every use of one file's items by another.
    pub(crate) fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for mention in &self.mentions {
            let found = self
                .absolute(&mention.module, &mention.path, 0)
                .and_then(|path| self.definition(&path, 0));
            let Some((module, name)) = found else {
                continue;
            };
            let from = &self.modules[&mention.module].file;
            let to = &self.modules[&module].file;
            if from == to {
                continue;
            }
            let visible = self.modules[&module].items.get(&name).copied();
            edges.insert(Edge {
                from: from.clone(),
                line: mention.line,
                to: to.clone(),
                item: [module.join("::"), name].join("::"),
                is_private: visible == Some(false) && mention.module.starts_with(&module),
            });
        }
        edges
    }
}

/// Whether `pub` or `pub(...)` stands before the keyword at `at`.
fn is_visible(tokens: &[Token], at: usize) -> bool {
    let mut at = at;
    while at > 0 {
        at -= 1;
        match tokens[at].text.as_str() {
            "pub" => return true,
            "unsafe" | "const" | "async" | "extern" | "(" | ")" | "crate" | "super" | "in"
            | "self" => {}
            text if text.starts_with('"') => {}
            _ => return false,
        }
    }
    false
}

fn split_at_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// The groups of files that use each other in a circle, each sorted.
pub(crate) fn circles(edges: &BTreeSet<Edge>) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        next.entry(&edge.from).or_default().insert(&edge.to);
        next.entry(&edge.to).or_default();
    }
    let reach = |start: &str| -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut pending: Vec<&str> = next[start].iter().copied().collect();
        while let Some(file) = pending.pop() {
            if seen.insert(file) {
                pending.extend(next[file].iter().copied());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|file| (*file, reach(file))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, seen) in &reached {
        if seen.contains(file) {
            let members = seen.iter().filter(|other| reached[*other].contains(file));
            found.insert(members.map(|member| (*member).to_owned()).collect());
        }
    }
    found.into_iter().collect()
}
