//! How to link a program without libc: no start files, and static. It becomes a static PIE, which
//! relocates itself.

fn main() {
    for argument in ["-nostartfiles", "-static-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--build-id=none,--no-eh-frame-hdr,-z,norelro");
}
