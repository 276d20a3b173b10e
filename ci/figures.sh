#!/usr/bin/env bash
# Draws every figure of docs/figures again, by one command: tables of the benches as JSON and SVG, `lab bench`,
# and the recorded tour; then the tables of README.md and docs/performance.md from the JSON. Some ten minutes on
# two processors, with the builds, on a machine that does nothing else; each figure says how busy it was.
#
# A step that fails or takes too long leaves its old figure, the others are drawn all the same, and the script
# fails at its end. `RAWTHREAD_BENCH_ROUNDS=1 ci/figures.sh` is a short form, to see that all works.
set -euo pipefail
cd "$(dirname "$0")/.."
figures=docs/figures
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir -p "$figures"
failed=()

step() { # step NAME SECONDS COMMAND...: runs the command, for so many seconds at most
    local name=$1 most=$2 start=$SECONDS
    shift 2
    printf '\n=== %s\n' "$name" >&2
    if timeout "$most" "$@" </dev/null; then
        printf -- '--- %s: %s s\n' "$name" "$((SECONDS - start))" >&2
    else
        failed+=("$name")
        printf -- '--- %s: FAILED after %s s\n' "$name" "$((SECONDS - start))" >&2
        return 1
    fi
}

# All builds before the first figure.
step "build of the benches" 900 cargo bench -p rawthread --no-run
step "build of the lab" 300 cargo build --quiet --release -p rawthread-lab
lab=${CARGO_TARGET_DIR:-target}/release/lab
# Whole files only take the place of the old ones.
for bench in calls threads locks workloads; do
    step "$bench" 400 cargo bench -p rawthread --bench "$bench" -- table --output "$new" || continue
    mv "$new/$bench.json" "$new/$bench.svg" "$figures"
done
if step "lab bench" 300 "$lab" bench --rounds 30 --size 1M,1G --svg >"$new/lab-bench.svg"; then
    mv "$new/lab-bench.svg" "$figures"
fi
if step "tour" 120 ci/record-tour.sh "$new/tour.svg"; then
    [ ! -s "$new/tour.svg" ] || mv "$new/tour.svg" "$figures"
fi
step "tables" 60 ci/tables.sh || true
step "tables are those of their figures" 60 ci/tables.sh --check || true
printf '\n%s s\n' "$SECONDS"
[ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
