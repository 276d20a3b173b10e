//! What an executable must not hold if it is to be free of any libc.

use std::path::Path;
use std::process::Command;

/// Beginnings of names that only a libc, or a program that uses one, has.
const OF_LIBC: [&str; 10] = [
    "pthread_",
    "__pthread",
    "__libc",
    "_dl_",
    "__errno",
    "malloc",
    "__malloc",
    "__tls_get_addr",
    "printf",
    "abort",
];

/// Asserts that an executable needs no loader and no library, has at most relocations that it can
/// do itself, and none of a libc's symbols. A stripped one is judged by its dynamic section alone.
#[track_caller]
pub(crate) fn assert_free_of_libc(path: &Path, stripped: bool) {
    let name = path.display();
    let headers = readelf("-lW", path);
    assert!(!headers.contains("INTERP"), "{name} asks for a loader");
    let dynamic = readelf("-dW", path);
    assert!(
        !dynamic.contains("(NEEDED)"),
        "{name} needs a library:\n{dynamic}"
    );
    let relocations = readelf("-rW", path);
    for line in relocations.lines().filter(|line| line.contains(" R_")) {
        assert!(line.contains("_RELATIVE"), "{name}: {line}");
    }
    let symbols = readelf("-sW", path);
    if stripped {
        return;
    }
    assert!(symbols.contains(" _start"), "{name} has symbols");
    for symbol in symbols
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7))
    {
        let of_libc = OF_LIBC.iter().any(|start| symbol.starts_with(start));
        assert!(!of_libc, "{name} has {symbol}");
    }
}

/// Whether the linker says which part of the data only its relocation writes.
pub(crate) fn is_relro(path: &Path) -> bool {
    readelf("-lW", path).contains("GNU_RELRO")
}

/// Whether the program has a function that a resolver is to choose.
pub(crate) fn has_ifunc(path: &Path) -> bool {
    readelf("-rW", path).contains("_IRELATIV")
}

fn readelf(option: &str, path: &Path) -> String {
    let output = Command::new("readelf").arg(option).arg(path).output();
    let output = output.expect("readelf, which comes with every linker");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
