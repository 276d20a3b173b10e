#!/usr/bin/env bash
# Debian's kernel 6.12 on an emulated AArch64: what qemu-user cannot show (ci/env-aarch64*.sh), as
# static programs in an initramfs. No MADV_GUARD_INSTALL there, so guards are made by mprotect.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
    echo "SKIP: $*"
    exit 0
}
target=aarch64-unknown-linux-gnu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
    ! { command -v qemu-system-aarch64 && command -v aarch64-linux-gnu-gcc && command -v cpio; } >/dev/null; then
    timeout 120 apt-get install -y -qq --no-install-recommends qemu-system-arm gcc-aarch64-linux-gnu \
        libc6-dev-arm64-cross cpio >/dev/null 2>&1 || true
fi
for tool in qemu-system-aarch64 aarch64-linux-gnu-gcc cpio dpkg apt-get; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done
[ -e "$(aarch64-linux-gnu-gcc -print-file-name=libc.a)" ] || skip "no static glibc for AArch64 here"
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || timeout 60 rustup target add $target >/dev/null 2>&1 ||
    skip "no standard library for $target here"

# Packages of that machine, by lists of our own: this one's stay as they are.
out=$PWD/target/elsewhere/aarch64
mkdir -p "$out/packages" "$out/lists/partial" "$out/cache/archives/partial"
debian() { # debian COMMAND ARGUMENTS...
    timeout 120 "$1" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null \
        -o Dir::State::Lists="$out/lists" -o Dir::Cache="$out/cache" "${@:2}"
}
unpack() { # unpack PACKAGE
    [ -d "$out/packages/$1" ] || {
        (cd "$out/packages" && debian apt-get download -qq "$1" && dpkg -x "$1"_*.deb "$1") >/dev/null 2>&1 || true
    }
}
debian apt-get update -qq >/dev/null 2>&1 || true
kernel=$(debian apt-cache pkgnames linux-image-6.12. | grep -E '[0-9]-cloud-arm64$' | sort -V | tail -1) || true
[ -n "$kernel" ] || skip "Debian's kernel 6.12 cannot be had here"
unpack "$kernel"
unpack busybox-static
image=$(ls "$out/packages/$kernel"/boot/vmlinuz-* 2>/dev/null) || skip "$kernel cannot be had here"
busybox=$out/packages/busybox-static/bin/busybox
[ -x "$busybox" ] || skip "no shell for AArch64 can be had here"

root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/etc" "$root/usr"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
aarch64-linux-gnu-gcc -static -O1 -Wall -Wextra -Werror -o "$root/init" ci/tests/init.c
build=(--locked --manifest-path ci/tests/Cargo.toml --target $target)
tests=$(RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=target/elsewhere cargo test --no-run --tests \
    "${build[@]}" --message-format short 2>&1 | tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))/\1/p')
for program in $tests; do
    name=$(basename "$program")
    # Backtraces need the names.
    aarch64-linux-gnu-strip --strip-debug -o "$root/bin/${name%-*}" "$program"
done
RUSTFLAGS="-C target-feature=+crt-static -C target-cpu=neoverse-v1" CARGO_PROFILE_RELEASE_LTO=fat \
    CARGO_TARGET_DIR=target/elsewhere/sve cargo build --release --example sve "${build[@]}"
cp target/elsewhere/sve/$target/release/examples/sve "$root/bin/"
# The programs without libc that qemu-user cannot run.
cp Cargo.lock tests/freestanding/programs/
for package in no_alloc with_alloc; do
    (cd tests/freestanding/programs && RUSTFLAGS="-Clink-arg=-nostartfiles -Ctarget-feature=+crt-static" cargo build \
        --offline --quiet --release -p $package --target $target --target-dir ../../../target/elsewhere/programs)
done
cp target/elsewhere/programs/$target/release/{children,command,limit,warm} "$root/bin/"
printf '#!/bin/sh\nulimit -v 100000\nexec /bin/limit\n' >"$root/bin/limited"
chmod +x "$root/bin/limited"
cp "$busybox" "$root/bin/"
for name in sh true false cat cut date dd echo env grep head id kill ls ps pwd sed seq sleep sort tail touch tr wc yes; do
    ln -s busybox "$root/bin/$name"
done
echo root:x:0:0::/:/bin/sh >"$root/etc/passwd"
# Emulation is slow: what the machine and its kernel decide, and not what takes thousands of threads.
cat >"$root/tests" <<'TESTS'
/bin/sve
/bin/children
/bin/command
/bin/limited
/bin/warm
/bin/attributes --test-threads=2 --skip threads_that_libc_makes
/bin/process --test-threads=2 builder:: child:: command::
/bin/hosted --test-threads=2 process_exit:: fork:: keys:: setuid:: --skip while_raw_threads
TESTS
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd"
log=$out/log
timeout 400 qemu-system-aarch64 -M virt -cpu max -accel tcg -smp 2 -m 1024 -nographic -no-reboot -kernel "$image" \
    -initrd "$out/initrd" -append "console=ttyAMA0 panic=-1 quiet" </dev/null >"$log" 2>&1 || true
grep -aE '^(LINUX|ENDED|test result|test .*FAILED|DONE)' "$log" || true
# Each ran something and ended well, and the machine came to its end.
if grep -aq '^running 0 tests' "$log" || ! grep -aq '^DONE' "$log" ||
    [ "$(grep -ac '^ENDED .* exit 0' "$log")" != "$(wc -l <"$root/tests")" ]; then
    tail -40 "$log"
    echo "failed on $kernel"
    exit 1
fi
