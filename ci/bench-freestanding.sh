#!/usr/bin/env bash
# Spawn and join without libc, on one CPU: this crate, origin 0.26.2 and the bare
# clone, which bounds both, taking turns.
# Needs crates.io, so it is not one of CI's steps. `ci/bench-freestanding.sh [ROUNDS [THREADS]]`
set -euo pipefail
cd "$(dirname "$0")/../benches/freestanding"
rounds=${1:-15} threads=${2:-5000}
target=${CARGO_TARGET_DIR:-$PWD/../../target}/freestanding-bench
for package in bench_bare_clone bench_rawthread bench_origin; do
    RUSTFLAGS="-Clink-arg=-nostartfiles -Ctarget-feature=+crt-static -Crelocation-model=static" \
        cargo build --quiet --release -p "$package" \
        --target "$(uname -m)-unknown-linux-gnu" --target-dir "$target"
done
at=$target/$(uname -m)-unknown-linux-gnu/release
cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')

once() { # once PROGRAM: nanoseconds per thread
    local TIMEFORMAT='%R'
    { time taskset -c "$cpu" "$at/$1" "$threads"; } 2>&1 |
        awk -v n="$threads" '{ printf "%d", $1 * 1e9 / n }'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
column() { cut -d' ' -f"$1" <<<"$results" | median; }

results=$(for ((round = 0; round < rounds; round++)); do
    # Each goes first in every third round.
    order=(bench_bare_clone bench_rawthread bench_origin bench_bare_clone bench_rawthread)
    for program in "${order[@]:round % 3:3}"; do
        printf -v "$program" '%s' "$(once "$program")"
    done
    echo "$bench_bare_clone $bench_rawthread $bench_origin" |
        awk '{ printf "%s %.2f %.2f %.2f\n", $0, $3 / $2, $2 / $1, $3 / $1 }'
done)
echo "$rounds rounds of $threads threads on CPU $cpu; medians per spawn and join:"
echo "bare clone              $(column 1) ns"
echo "rawthread               $(column 2) ns"
echo "origin                  $(column 3) ns"
echo "origin ÷ rawthread      $(column 4)"
echo "rawthread ÷ bare clone  $(column 5)"
echo "origin ÷ bare clone     $(column 6)"
