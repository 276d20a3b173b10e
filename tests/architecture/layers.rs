//! The order of layers, circles of files, and what a function may not hold.

use std::collections::BTreeSet;

use crate::graph::{Crate, Edge, circles};
use crate::source::{Source, Token, end_of_group, is_attribute};

/// The layer that a file of `src` belongs to; none for `lib.rs`, the guide and the loom models.
pub(crate) fn layer_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let layer = inside.split('/').next()?;
    let layer = layer.strip_suffix(".rs").unwrap_or(layer);
    (!matches!(layer, "lib" | "guide" | "loom_models")).then_some(layer)
}

fn is_exempt(edge: &Edge) -> bool {
    ["src/lib.rs", "src/guide.rs", "src/loom_models/"]
        .iter()
        .any(|exempt| edge.from.starts_with(exempt))
}

fn show(edge: &Edge, why: &str) -> String {
    let Edge {
        from, line, item, ..
    } = edge;
    format!("{from}:{line}: {why}: {item}")
}

/// Every import from a layer that does not lie below the importer's.
pub(crate) fn upward_imports(layers: &[&str], files: &[Source]) -> Vec<String> {
    let place = |path: &str| {
        let layer = layer_of(path)?;
        layers.iter().position(|known| *known == layer)
    };
    let mut broken: Vec<String> = files
        .iter()
        .filter(|file| layer_of(&file.path).is_some() && place(&file.path).is_none())
        .map(|file| format!("{}: its layer is not in LAYERS", file.path))
        .collect();
    let edges = Crate::read(files, "src").edges();
    for edge in edges.iter().filter(|edge| !is_exempt(edge)) {
        match (place(&edge.from), place(&edge.to)) {
            (Some(own), Some(used)) if used > own => {
                broken.push(show(edge, "imports from a layer above its own"));
            }
            (Some(_), None) if edge.to.starts_with("src/lib.rs") => {
                broken.push(show(edge, "imports through the crate's root"));
            }
            _ => {}
        }
    }
    broken
}

/// Every group of files that use each other in a circle, with the uses that tie it.
pub(crate) fn file_circles(files: &[Source], dir: &str) -> Vec<String> {
    let edges: BTreeSet<Edge> = Crate::read(files, dir)
        .edges()
        .into_iter()
        .filter(|edge| !is_exempt(edge))
        .collect();
    let mut broken = Vec::new();
    for circle in circles(&edges) {
        broken.push(format!("a circle of {} files:", circle.len()));
        broken.extend(
            edges
                .iter()
                .filter(|edge| circle.contains(&edge.from) && circle.contains(&edge.to))
                .map(|edge| format!("    {}", show(edge, &format!("uses {}", edge.to)))),
        );
    }
    broken
}

/// Every use of an item that is private to a module that encloses the user's.
pub(crate) fn private_imports(files: &[Source], dir: &str) -> Vec<String> {
    Crate::read(files, dir)
        .edges()
        .iter()
        .filter(|edge| edge.is_private && !is_exempt(edge))
        .map(|edge| show(edge, "uses what is private to an enclosing module"))
        .collect()
}

/// Every `cfg` inside a function's body.
pub(crate) fn cfg_in_functions(files: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        let tokens = file.tokens();
        for body in function_bodies(&tokens) {
            for at in body.clone() {
                let is_cfg = is_attribute(&tokens, at)
                    && matches!(tokens[at + 2].text.as_str(), "cfg" | "cfg_attr");
                let is_macro =
                    tokens[at].text == "cfg" && tokens.get(at + 1).is_some_and(|t| t.text == "!");
                if is_cfg || is_macro {
                    broken.push(format!(
                        "{}:{}: a cfg inside a function: choose between items instead",
                        file.path, tokens[at].line
                    ));
                }
            }
        }
    }
    broken.dedup();
    broken
}

/// The ranges of tokens that are functions' bodies; one inside another is part of the outer.
fn function_bodies(tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let mut bodies = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_function =
            tokens[at].text == "fn" && tokens.get(at + 1).is_some_and(|next| next.is_ident);
        at += 1;
        if !is_function {
            continue;
        }
        while at < tokens.len() && !matches!(tokens[at].text.as_str(), "{" | ";") {
            at = match tokens[at].text.as_str() {
                "(" | "[" => end_of_group(tokens, at),
                _ => at + 1,
            };
        }
        if at < tokens.len() && tokens[at].text == "{" {
            let end = end_of_group(tokens, at);
            bodies.push(at..end);
            at = end;
        }
    }
    bodies
}

/// Every mention of `word` (`asm!`-like macros by their name, `target_arch`) in files that are not allowed it.
pub(crate) fn stray_words(
    files: &[Source],
    words: &[&str],
    allowed: &[(&str, &str)],
) -> Vec<String> {
    let mut stray = Vec::new();
    for file in files {
        let may = |(path, _): &(&str, &str)| file.path.starts_with(path);
        if allowed.iter().any(may) {
            continue;
        }
        for token in file.tokens() {
            if token.is_ident && words.contains(&token.text.as_str()) {
                stray.push(format!(
                    "{}:{}: `{}` belongs in src/sys/arch",
                    file.path, token.line, token.text
                ));
            }
        }
    }
    stray
}
