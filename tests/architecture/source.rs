//! The project's Rust files as flat lists of tokens, without comments and unit tests.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token: an identifier, a literal, a delimiter, or punctuation (`::`, `->`, `=>` as one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) is_ident: bool,
}

/// One Rust file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The tokens of the file. Modules that only tests compile are left out.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let stream: TokenStream = self
            .text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let mut flat = Vec::new();
        flatten(stream, &mut flat);
        without_unit_tests(join_punctuation(flat))
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `dir`, sorted by path.
pub(crate) fn rust_files(dir: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = vec![root().join(dir)];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a directory that can be listed").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                found.push(Source::new(name.to_str().expect("plain names"), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let token = |text: &str, line, is_ident| Token {
            text: text.to_owned(),
            line,
            is_ident,
        };
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                into.push(token(open, line, false));
                flatten(group.stream(), into);
                into.push(token(close, group.span_close().start().line, false));
            }
            TokenTree::Ident(ident) => into.push(token(&ident.to_string(), line, true)),
            TokenTree::Punct(punct) => {
                into.push(token(&punct.as_char().to_string(), line, false));
            }
            TokenTree::Literal(literal) => into.push(token(&literal.to_string(), line, false)),
        }
    }
}

/// Makes one token of `::`, `->` and `=>`.
fn join_punctuation(flat: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(flat.len());
    for token in flat {
        if let Some(last) = joined.last_mut() {
            let pair = (last.text.as_str(), token.text.as_str());
            if matches!(pair, (":", ":") | ("-", ">") | ("=", ">")) {
                last.text.push_str(&token.text);
                continue;
            }
        }
        joined.push(token);
    }
    joined
}

/// The index behind the group that opens at `open`.
pub(crate) fn end_of_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Whether an attribute `#[...]` begins here.
pub(crate) fn is_attribute(tokens: &[Token], at: usize) -> bool {
    tokens[at].text == "#" && tokens.get(at + 1).is_some_and(|next| next.text == "[")
}

/// Leaves out `#[cfg(test)]` and `#[cfg(all(test, ...))]` items.
fn without_unit_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if is_attribute(&tokens, at) {
            let end = end_of_group(&tokens, at + 1);
            let words: Vec<&str> = tokens[at..end].iter().map(|t| t.text.as_str()).collect();
            let only_tests = words.starts_with(&["#", "[", "cfg", "(", "test", ")"])
                || words.starts_with(&["#", "[", "cfg", "(", "all", "(", "test", ","]);
            if only_tests {
                at = end_of_item(&tokens, end);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// The index behind the item that begins at `at`: its `;` or its braces.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => {
                let end = end_of_group(tokens, at);
                let is_use = tokens.get(end).is_some_and(|next| next.text == ";");
                return end + usize::from(is_use);
            }
            "[" | "(" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}
