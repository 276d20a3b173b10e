#!/usr/bin/env bash
# Hosted threads on AArch64: static glibc programs under qemu-user. That emulator refuses clone3,
# private resources and namespaces, installs no guards, and cannot execute the tests once more, so
# only tests that need none of it run here; ci/env-aarch64-kernel.sh runs others.
#
# `twenty_thousand` is not for qemu-user 7.2, which keeps 280 KB of every thread that ended: 10,000
# pthread_create and pthread_join in C take 2.8 GB there, and where memory is short it ends by
# SIGSEGV. `second_level` runs itself in a process of its own: here it is told that it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
    echo "SKIP: $*"
    exit 0
}
target=aarch64-unknown-linux-gnu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    ! { [ -e /usr/aarch64-linux-gnu/lib/libc.a ] && command -v qemu-aarch64; } >/dev/null; then
    timeout 60 apt-get install -y -qq --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
        qemu-user >/dev/null 2>&1 || true
fi
for tool in qemu-aarch64 aarch64-linux-gnu-gcc; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done
[ -e "$(aarch64-linux-gnu-gcc -print-file-name=libc.a)" ] || skip "no static glibc for AArch64 here"
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    timeout 60 rustup target add $target >/dev/null 2>&1 || skip "no standard library for $target here"
fi
export CARGO_TARGET_DIR=target/elsewhere RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="timeout 100 qemu-aarch64"
run() { # run TEST FILTER...
    local log
    log=$(cargo test --locked --manifest-path ci/tests/Cargo.toml --target $target --test "$1" -- \
        --test-threads=2 "${@:2}" 2>&1) || { echo "$log"; return 1; }
    grep '^test result' <<<"$log"
    ! grep -q '^running 0 tests' <<<"$log"
}
run sync
# A rerun of the program itself needs the emulator before it.
run attributes --skip unshared:: --skip threads_that_libc_makes
run hosted keys:: locals:: --skip second_level --skip twenty_thousand
RAWTHREAD_TEST_ALONE=keys::keys_of_the_second_level_work_too \
    run hosted --exact keys::keys_of_the_second_level_work_too
