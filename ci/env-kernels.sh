#!/usr/bin/env bash
# Debian's kernels 6.1 and 6.12, emulated: the tests as static programs in an initramfs. Neither has
# MADV_GUARD_INSTALL, so guards are made by mprotect there.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
    echo "SKIP: $*"
    exit 0
}
[ "$(uname -m)" = x86_64 ] || skip "for x86_64 only"
[ -e "$(gcc -print-file-name=libc.a)" ] || skip "no static glibc (libc.a) here"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v qemu-system-x86_64 cpio >/dev/null; then
    timeout 60 apt-get install -y -qq --no-install-recommends qemu-system-x86 cpio >/dev/null 2>&1 || true
fi
for tool in qemu-system-x86_64 cpio dpkg apt-get; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done

target=x86_64-unknown-linux-gnu
out=$PWD/target/elsewhere
mkdir -p "$out/kernels"
programs=$(RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$out cargo test --locked --no-run \
    --manifest-path ci/tests/Cargo.toml --target $target --message-format short 2>&1 | tee /dev/stderr |
    sed -n 's/.*Executable.*(\(.*\))/\1/p')
root=$out/root
rm -rf "$root"
mkdir -p "$root/bin"
gcc -static -O1 -Wall -Wextra -Werror -o "$root/init" ci/tests/init.c
for program in $programs; do
    name=$(basename "$program")
    strip -o "$root/bin/${name%-*}" "$program"
done
# Emulation is slow, and there is no shell: what concerns the kernel, and needs no program.
# `is_one_sleep` was refused a thread (EAGAIN) in so small a machine. The reruns by libc's own threads
# would double the time, and concern the libc, not the kernel.
cat >"$root/tests" <<'TESTS'
/bin/thread --test-threads=2 --skip threads_that_libc_makes --skip list:: --skip with_std --skip is_one_sleep --skip the_reaper_of_a_dropped
/bin/warm --test-threads=2 --skip threads_that_libc_makes
/bin/attributes --test-threads=2 --skip threads_that_libc_makes
/bin/process --test-threads=2 builder:: child:: identity:: --skip tells_what_it_used --skip waiting_closes_the
TESTS
wanted=$(wc -l <"$root/tests")
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd"

boot() { # boot RELEASE
    local package image log=$out/kernels/$1.log
    package=$(apt-cache pkgnames "linux-image-$1." | grep -E '^linux-image-[^ ]*[0-9](\+deb[0-9]+)?(-[0-9]+)?-cloud-amd64$' |
        sort -V | tail -1) || true
    if [ -n "$package" ] && ! [ -d "$out/kernels/$package" ]; then
        (cd "$out/kernels" && timeout 60 apt-get download -qq "$package" && dpkg -x "$package"_*.deb "$package") \
            >/dev/null 2>&1 || true
    fi
    image=$(ls "$out/kernels/$package"/boot/vmlinuz-* 2>/dev/null || true)
    if [ -z "$package" ] || [ -z "$image" ]; then
        echo "SKIP: Debian's kernel $1 cannot be had here"
        return
    fi
    timeout 150 qemu-system-x86_64 -M q35 -accel tcg -smp 2 -m 1024 -nographic -no-reboot -kernel "$image" \
        -initrd "$out/initrd" -append "console=ttyS0 panic=-1 quiet" </dev/null >"$log" 2>&1 || true
    grep -aE '^(LINUX|ENDED|test result|test .*FAILED|DONE)' "$log" || true
    # Each ran something and ended well, and the machine came to its end.
    if grep -aq '^running 0 tests' "$log" || [ "$(grep -ac '^ENDED .* exit 0' "$log")" != "$wanted" ] || ! grep -aq '^DONE' "$log"; then
        tail -40 "$log"
        echo "failed on $package"
        return 1
    fi
}
boot 6.1
boot 6.12
