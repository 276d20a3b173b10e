#!/usr/bin/env bash
# The programs without libc on AArch64, under qemu-user. Prints SKIP where that cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=aarch64-unknown-linux-gnu
if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
            qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross; } >/dev/null 2>&1 || true
    fi
fi
for tool in qemu-aarch64 aarch64-linux-gnu-gcc; do
    command -v "$tool" >/dev/null || { echo "SKIP: no $tool"; exit 0; }
done
[ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ] ||
    rustup target add "$triple" >/dev/null 2>&1 ||
    { echo "SKIP: no Rust core library for $triple"; exit 0; }

programs=tests/freestanding/programs
target=$PWD/target/aarch64
cp Cargo.lock "$programs/"
build() { # build PROFILE-OPTION RUSTFLAGS...
    local option=$1
    shift
    (cd "$programs" && RUSTFLAGS="-Clink-arg=-nostartfiles -Ctarget-feature=+crt-static $*" \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        cargo build --offline --quiet -p bare --target "$triple" --target-dir "$target" $option)
}
check() { # check STATUS PROGRAM ARGUMENTS...
    local expected=$1 status=0
    shift
    RAWTHREAD=is=here timeout 60 qemu-aarch64 "$@" >/dev/null 2>&1 || status=$?
    if [ "$status" != "$expected" ]; then
        echo "$*: status $status, not $expected"
        exit 1
    fi
}
build "" -Crelocation-model=static
build --release
for profile in debug release; do
    at=$target/$triple/$profile
    # qemu-user makes a fork without shared memory out of vfork, so `children` cannot pass.
    for program in spawns scope park sets locals c_tls panics storm signals; do
        check 0 "$at/$program"
    done
    # The emulator does not say what a thread was born with: each ends after its task.
    check 0 "$at/warm" cold
    check 0 "$at/warm" storm
    check 10 "$at/hello"
    check 3 "$at/start" one ""
    check 101 "$at/panics" main
    check $((128 + 11)) "$at/overflow"
    echo "$profile: the programs without libc run on AArch64"
done
