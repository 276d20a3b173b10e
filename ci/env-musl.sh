#!/usr/bin/env bash
# Threads of this crate in a C program, from a no_std static library: with full support in the glibc
# here, and by libc's own threads with musl; each dynamic and static.
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
compile gcc -pthread glibc-dynamic
support=libc
version=$(ldd --version | sed -n '1s/.* //p')
# What src/runtime/hosted/libc_layout.rs calls supported.
case $version in
    2.1[7-9] | 2.[23][0-9] | 2.4[0-4]) support=full ;;
esac
timeout 90 "$out/glibc-dynamic" "$support"

echo "glibc, static"
if [ -e "$(gcc -print-file-name=libc.a)" ]; then
    # The library's stub for panics beside libgcc's, which glibc's own objects need.
    compile gcc -static -pthread -Wl,-z,muldefs,--no-warnings glibc-static
    timeout 90 "$out/glibc-static" "$support"
else
    echo "SKIP: no static glibc (libc.a) here"
fi

if ! command -v musl-gcc >/dev/null; then
    echo "SKIP: no musl-gcc here (Debian: musl-tools)"
    exit 0
fi
echo "musl, static"
compile musl-gcc -static musl-static
timeout 90 "$out/musl-static" libc
echo "musl, dynamic"
compile musl-gcc musl-dynamic
if [ -e "/lib/ld-musl-$(uname -m).so.1" ]; then
    timeout 90 "$out/musl-dynamic" libc
else
    echo "SKIP: no loader of musl here"
fi
