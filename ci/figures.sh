#!/usr/bin/env bash
# Draws every figure of docs/figures again, by one command: tables of the benches as JSON and SVG, `lab bench`,
# and the recorded tour; then the tables of README.md and docs/performance.md from the JSON. Some ten minutes on
# two processors, with the builds, on a machine that does nothing else; each figure says how busy it was.
set -euo pipefail
cd "$(dirname "$0")/.."
# All builds before the first figure.
cargo bench -p rawthread --no-run
for bench in threads workloads locks; do
    cargo bench -p rawthread --bench "$bench" -- table --output docs/figures
done
cargo build --quiet --release -p rawthread-lab
lab=${CARGO_TARGET_DIR:-target}/release/lab
"$lab" bench --size 1M,1G --svg >docs/figures/lab-bench.svg
ci/record-tour.sh
ci/tables.sh
