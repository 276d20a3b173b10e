#!/usr/bin/env bash
# The protocols under loom: every interleaving within its bounds.
set -euo pipefail
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib models
