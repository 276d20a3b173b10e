#!/usr/bin/env bash
# Draws every figure of docs/figures again: tables of the benches as JSON and SVG, `lab bench`, and the
# recorded tour. Takes some minutes, and wants a machine that does nothing else; each figure says how
# busy it was, or on what it was made.
set -euo pipefail
cd "$(dirname "$0")/.."
for bench in threads workloads locks; do
    cargo bench -p rawthread --bench "$bench" -- table --output docs/figures
done
cargo build --quiet --release -p rawthread-lab
lab=${CARGO_TARGET_DIR:-target}/release/lab
"$lab" bench --size 1M,1G --svg >docs/figures/lab-bench.svg
ci/record-tour.sh
