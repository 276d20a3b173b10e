#!/usr/bin/env bash
# Formatting, and clippy without warnings over the feature combinations.
set -euo pipefail
cargo fmt --all -- --check
cargo clippy --workspace --all-targets -- -D warnings
for features in "" alloc hosted hosted,alloc lock_api start diagnosis,start alloc,start,panic-thread; do
    echo "clippy, no std, features: ${features:-none}"
    cargo clippy -p rawthread --no-default-features --features "$features" -- -D warnings
done
# Not every machine has the other targets: `rustup target add x86_64-unknown-linux-musl`.
musl=x86_64-unknown-linux-musl
if [ -d "$(rustc --print sysroot)/lib/rustlib/$musl" ]; then
    cargo check -p rawthread --target $musl
else
    echo "SKIP: the target $musl is not installed"
fi
