#!/usr/bin/env bash
# The benches build and run once, quickly; figures are taken by plain `cargo bench`.
set -euo pipefail
cargo bench -p rawthread -- --quick
