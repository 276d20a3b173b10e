//! Compiles the C parts of some programs and hands them to the linker.

use std::env;
use std::path::Path;
use std::process::Command;

/// C file and the programs that it is for.
const PARTS: [(&str, &[&str]); 5] = [
    ("tls", &["c_tls"]),
    ("aligned", &["c_aligned"]),
    ("ifunc", &["ifunc"]),
    ("restart", &["refused"]),
    ("ask", &["limit", "panics", "pidfd", "warm"]),
];

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    let compiler =
        if env::var("TARGET").unwrap().starts_with("aarch64") && cfg!(target_arch = "x86_64") {
            "aarch64-linux-gnu-gcc"
        } else {
            "cc"
        };
    for (part, programs) in PARTS {
        let source = format!("c/{part}.c");
        println!("cargo::rerun-if-changed={source}");
        let object = Path::new(&out).join(part).with_extension("o");
        let compiled = Command::new(compiler)
            .args([
                "-c",
                "-O1",
                "-fPIE",
                "-ffreestanding",
                "-fstack-protector-all",
                "-o",
            ])
            .arg(&object)
            .arg(source)
            .status()
            .unwrap_or_else(|error| panic!("{compiler}: {error}"));
        assert!(compiled.success());
        for program in programs {
            println!("cargo::rustc-link-arg-bin={program}={}", object.display());
        }
    }
}
