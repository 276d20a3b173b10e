#!/usr/bin/env bash
# Spawn and join without libc, on one CPU: this crate, origin 0.26.2 and the bare
# clone that neither can beat, taking turns.
# Needs crates.io, so it is not one of CI's steps. `ci/bench-freestanding.sh [ROUNDS [THREADS]]`
set -euo pipefail
cd "$(dirname "$0")/../benches/freestanding"
rounds=${1:-15} threads=${2:-5000}
target=${CARGO_TARGET_DIR:-$PWD/../../target}/freestanding-bench
for package in floor ours origins; do
    RUSTFLAGS="-Clink-arg=-nostartfiles -Ctarget-feature=+crt-static -Crelocation-model=static" \
        cargo build --quiet --release -p "$package" \
        --target "$(uname -m)-unknown-linux-gnu" --target-dir "$target"
done
at=$target/$(uname -m)-unknown-linux-gnu/release
cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')

once() { # once PROGRAM: nanoseconds per thread, on the clock and on the processor
    local TIMEFORMAT='%R %U %S'
    { time taskset -c "$cpu" "$at/$1" "$threads"; } 2>&1 |
        awk -v n="$threads" '{ printf "%d %d", $1 * 1e9 / n, ($2 + $3) * 1e9 / n }'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
column() { cut -d' ' -f"$1" <<<"$results" | median; }

results=$(for ((round = 0; round < rounds; round++)); do
    # Each goes first in every third round.
    order=(floor ours origins floor ours)
    for who in "${order[@]:round % 3:3}"; do
        printf -v "$who" '%s' "$(once "$who")"
    done
    echo "$ours $origins $floor" | awk '{
        printf "%s %.2f %.2f %.2f %.2f %.2f %.2f\n", $0, $3 / $1, $4 / $2, $1 / $5, $2 / $6, $3 / $5, $4 / $6
    }'
done)
echo "$rounds rounds of $threads threads on CPU $cpu; medians per spawn and join:"
echo "                       clock      processor time (which other programs' load moves less)"
echo "bare clone (floor) $(column 5) ns    $(column 6) ns"
echo "rawthread          $(column 1) ns    $(column 2) ns"
echo "origin             $(column 3) ns    $(column 4) ns"
echo "origin ÷ rawthread    $(column 7)        $(column 8)"
echo "rawthread ÷ floor     $(column 9)        $(column 10)"
echo "origin ÷ floor        $(column 11)        $(column 12)"
