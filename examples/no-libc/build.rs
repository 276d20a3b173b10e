//! How to link a program without libc: no start files, and static. It becomes a static PIE, which
//! relocates itself.

fn main() {
    println!("cargo::rerun-if-changed=small.ld");
    for argument in ["-nostartfiles", "-static-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // The rest only makes the program smaller.
    let directory = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{directory}/small.ld,--build-id=none");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-z,norelro,-z,noseparate-code");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
