#!/usr/bin/env bash
# What gdb, core files, perf, valgrind and strace see of threads of this crate: names, frames, symbols, no
# errors. A tool that is not here is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build -q --manifest-path ci/tests/Cargo.toml --example debugged
program=$(cargo metadata -q --no-deps --format-version 1 --manifest-path ci/tests/Cargo.toml |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/examples/debugged
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null || { echo "SKIP: no $1"; return 1; }; }
sees() { # sees TOOL FILE TEXT...
    local tool=$1 file=$2 text
    shift 2
    for text in "$@"; do
        grep -q -- "$text" "$file" || { echo "$tool does not see: $text"; tail -40 "$file"; exit 1; }
    done
    echo "$tool: as of any thread"
}

if has gdb; then
    timeout 120 gdb -q -batch -ex run -ex "info threads" -ex "thread apply all bt" \
        --args "$program" abort >"$work/gdb" 2>&1 || true
    sees gdb "$work/gdb" '"patient"' '"quiet"' '"bad"' comes_to_a_bad_end waits_for_the_end SIGABRT
    # A core file that the kernel writes. gdb's own (gcore) leaves out each MiB in which a guard lies that is
    # not a mapping of its own, and with it the stacks there.
    if [ "$(cat /proc/sys/kernel/core_pattern)" = core ]; then
        (cd "$work" && ulimit -c unlimited && "$program" abort >/dev/null) || true
        core=$(find "$work" -name 'core*' | head -1)
        timeout 120 gdb -q -batch -ex "info threads" -ex "thread apply all bt" "$program" "$core" \
            >"$work/core.txt" 2>&1 || true
        sees "a core file" "$work/core.txt" comes_to_a_bad_end waits_for_the_end
    else
        echo "SKIP: core files go elsewhere here"
    fi
fi
if has perf && perf stat -e task-clock true >/dev/null 2>&1; then
    if perf record -q -e cpu-clock -g -o "$work/perf.data" "$program" >/dev/null 2>&1; then
        perf report -i "$work/perf.data" --stdio --no-children 2>/dev/null >"$work/perf"
        sees perf "$work/perf" works_a_little
    else
        echo "SKIP: perf may not record here"
    fi
else
    echo "SKIP: perf does not run here"
fi
if has valgrind; then
    timeout 300 valgrind -q --error-exitcode=9 "$program" >"$work/valgrind" 2>&1 ||
        { echo "valgrind reports:"; cat "$work/valgrind"; exit 1; }
    sees memcheck "$work/valgrind" "worked:"
fi
if has strace; then
    timeout 120 strace -f -o "$work/strace" "$program" >/dev/null
    sees strace "$work/strace" CLONE_SETTLS CLONE_CHILD_CLEARTID 'exit(0)'
fi
