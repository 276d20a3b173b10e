//! Compiles the C part of the thread-local test and hands it to the linker.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=c/tls.c");
    let out = env::var("OUT_DIR").unwrap();
    let object = Path::new(&out).join("tls.o");
    let compiler =
        if env::var("TARGET").unwrap().starts_with("aarch64") && cfg!(target_arch = "x86_64") {
            "aarch64-linux-gnu-gcc"
        } else {
            "cc"
        };
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
        .arg("c/tls.c")
        .status()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(compiled.success());
    println!("cargo::rustc-link-arg-bin=c_tls={}", object.display());
}
