//! Links without libc, as `examples/no-libc` does, and with an object that a C compiler made.

use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/words.c");
    for argument in ["-nostartfiles", "-static-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    let out = env::var("OUT_DIR").unwrap();
    for name in ["c", "dl", "m", "pthread", "rt", "util"] {
        fs::write(format!("{out}/lib{name}.a"), "!<arch>\n")?;
    }
    println!("cargo::rustc-link-search=native={out}");

    // The C code may use what the compiler brings, and no header of a libc.
    let compiler = env::var("CC").or_else(|_| env::var("RUSTC_LINKER"));
    let compiler = compiler.unwrap_or_else(|_| "cc".to_owned());
    let object = format!("{out}/words.o");
    let status = Command::new(&compiler)
        .args([
            "-c",
            "-O2",
            "-fPIC",
            "-ffreestanding",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .args(["src/words.c", "-o", &object])
        .status()?;
    assert!(status.success(), "{compiler} failed");
    println!("cargo::rustc-link-arg-bins={object}");
    Ok(())
}
