#!/usr/bin/env bash
# Threads of this crate in a C program, from a no_std static library: with full support in the glibc
# here, dynamic, and by libc's own threads with musl, static.
set -euo pipefail
cd "$(dirname "$0")/.."
source=tests/hosted/c_program
out=target/c-program
if ! command -v gcc >/dev/null; then
    echo "SKIP: no gcc here"
    exit 0
fi
if ! command -v musl-gcc >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    timeout 60 apt-get install -y -qq --no-install-recommends musl-tools >/dev/null 2>&1 || true
fi
CARGO_TARGET_DIR=$out cargo build --locked --manifest-path "$source/Cargo.toml"
library=$out/debug/libc_program.a
compile() { # compile COMPILER... PROGRAM
    "${@:1:$#-1}" -O1 -g -Wall -Wextra -Werror -o "$out/${!#}" "$source/main.c" "$library"
}

echo "glibc, dynamic"
compile gcc -pthread glibc
support=libc
version=$(ldd --version | sed -n '1s/.* //p')
# What src/runtime/hosted/libc_layout.rs calls supported.
case $version in
    2.1[7-9] | 2.[23][0-9] | 2.4[0-4]) support=full ;;
esac
timeout 90 "$out/glibc" "$support"

echo "musl, static"
if ! command -v musl-gcc >/dev/null; then
    echo "SKIP: no musl-gcc here (Debian: musl-tools)"
    exit 0
fi
compile musl-gcc -static musl
timeout 90 "$out/musl" libc
