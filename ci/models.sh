#!/usr/bin/env bash
# The protocols under loom: every interleaving within its bounds. Without the hosted runtime, whose
# statics hold locks that loom's atomics cannot be in.
set -euo pipefail
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
    cargo test -p rawthread --release --lib loom_models --no-default-features --features alloc
