#!/usr/bin/env bash
# Hosted threads in a static glibc program: the same tests, linked with libc.a, in a target
# directory of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
if [ ! -e "$(gcc -print-file-name=libc.a)" ]; then
    echo "SKIP: no static glibc (libc.a) here"
    exit 0
fi
export RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=target/static
cargo test -p rawthread --target "$target" --test hosted
