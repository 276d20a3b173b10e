#!/usr/bin/env bash
# The README's first command: exit status 0 means that every prediction was observed.
set -euo pipefail
cargo run --release
