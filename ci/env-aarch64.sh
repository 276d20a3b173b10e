#!/usr/bin/env bash
# The tests of programs without libc, whose programs are built for AArch64 and run under qemu-user.
# Prints SKIP where that cannot be had.
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

export RAWTHREAD_TARGET=$triple
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="timeout 60 qemu-aarch64"
# Not here: qemu-user makes a fork without shared memory out of vfork (`children`, `command`) and has
# no space for itself under a limit of the address space (`limit`).
cargo test --locked --test freestanding -- --skip processes_fork_and_share \
    --skip commands_run_with_an_allocator --skip a_limit_is_an_error
