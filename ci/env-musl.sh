#!/usr/bin/env bash
# Threads of this crate in a C program, from a no_std static library: with full support in the glibc
# here, and by libc's own threads with musl; each dynamic and static. Then the test suites on musl:
# static, with the musl of Rust's target, and dynamic, with this machine's.
#
#   ci/env-musl.sh        the suites that CI runs
#   ci/env-musl.sh all    every suite that makes threads, both ways
#
# A test that cannot run prints a line with SKIP. These lines are counted per suite and listed: a
# skipped test is not a test that passed.
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
loader=/lib/ld-musl-$(uname -m).so.1
if [ -e "$loader" ]; then
    timeout 90 "$out/musl-dynamic" libc
else
    echo "SKIP: no loader of musl here"
fi

target=$(uname -m)-unknown-linux-musl
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] && command -v rustup >/dev/null; then
    timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
fi
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    echo "SKIP: no std for $target here (rustup target add $target)"
    exit 0
fi
static_suites=(lib hosted thread local limits regressions warm third_party reserve process)
dynamic_suites=(hosted thread local regressions process)
if [ "${1-}" = all ]; then
    static_suites+=(attributes flags sync futures)
    dynamic_suites=("${static_suites[@]}")
fi
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG-0}
# Seconds for one suite; the longest takes 20 alone.
limit=200
logs=$out/log
mkdir -p "$logs"
failed=()

run_suites() { # run_suites LABEL SUITE...: builds them, with the rustc arguments in `link`; one line each
    local label=$1 suite what log start code skipped all_skipped=0
    local -A program=()
    shift
    for suite in "$@"; do
        what=(--test "$suite")
        [ "$suite" != lib ] || what=(--lib)
        # Arguments for one program's own rustc leave what it depends on as it is.
        program[$suite]=$(cargo rustc --quiet --locked -p rawthread --target "$target" --profile test \
            "${what[@]}" --message-format=json-render-diagnostics -- "${link[@]}" \
            | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    done
    printf '\nmusl, %s: the suites\n' "$label"
    for suite in "$@"; do
        log=$logs/$label-$suite
        start=$SECONDS
        code=0
        # timeout ends the whole process group, with what a test left running.
        timeout --kill-after=5 "$limit" "${program[$suite]}" --show-output \
            >"$log" 2>&1 </dev/null || code=$?
        skipped=$(grep -c 'SKIP:' "$log" || true)
        all_skipped=$((all_skipped + skipped))
        printf '%-12s %s, SKIP lines: %s (%s s)\n' "$suite" \
            "$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]* passed; [0-9]* failed\).*/\1/p' "$log" \
                | tail -n 1 | grep . || echo 'no result')" "$skipped" "$((SECONDS - start))"
        grep 'SKIP:' "$log" | sed 's/.*SKIP:/SKIP:/' | sort | uniq -c | sed 's/^/    /' || true
        [ "$code" != 0 ] || continue
        failed+=("$log")
        [ "$code" != 124 ] || echo "    not finished in $limit s"
        [ "$code" -le 128 ] || echo "    ended by signal $((code - 128))"
        sed -n 's/^test \(.*\) \.\.\. FAILED$/    FAILED: \1/p' "$log"
        sed -n 's/^test \(.* has been running for .*\)/    \1/p' "$log"
    done
    echo "musl, $label: $all_skipped SKIP lines"
}

link=()
run_suites static "${static_suites[@]}"

if [ -e "$loader" ]; then
    # Rust links a dynamic program with libgcc_s, which Debian has for glibc only. The unwinder that
    # Rust's target brings along does as well.
    mkdir -p "$out/unwinder"
    echo "INPUT ( $(rustc --print sysroot)/lib/rustlib/$target/lib/self-contained/libunwind.a )" \
        >"$out/unwinder/libgcc_s.so"
    link=(-C target-feature=-crt-static -C link-self-contained=no -C linker=musl-gcc -L "$PWD/$out/unwinder")
    run_suites dynamic "${dynamic_suites[@]}"
fi

if [ ${#failed[@]} -gt 0 ]; then
    # Last, since what keeps a long log keeps its end.
    for log in "${failed[@]}"; do
        printf '\n%s, the end:\n' "$log"
        tail -n 40 "$log"
    done
    exit 1
fi
