//! How to link a program without libc: no start files, static, and nothing from a libc that lies
//! beside the linker. It becomes a static PIE, which relocates itself.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=small.ld");
    for argument in ["-nostartfiles", "-static-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // The libraries that the crate `libc` asks for, without anything in them: a call of a C function
    // would else be linked to a libc that is neither loaded nor initialised, and crash.
    let empty = env::var("OUT_DIR").unwrap();
    for name in ["c", "dl", "m", "pthread", "rt", "util"] {
        fs::write(format!("{empty}/lib{name}.a"), "!<arch>\n")?;
    }
    println!("cargo::rustc-link-search=native={empty}");
    // The rest only makes the program smaller.
    let directory = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{directory}/small.ld,--build-id=none");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-z,norelro,-z,noseparate-code");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    Ok(())
}
