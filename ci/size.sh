#!/usr/bin/env bash
# The size of a small program without libc: hello from four threads, as the README has it built.
set -euo pipefail
cd "$(dirname "$0")/../examples/no-libc"
most=12288
cargo build --release --quiet
program=${CARGO_TARGET_DIR:-target}/release/no-libc
bytes=$(stat -c %s "$program")
lines=$("$program" | sort | tr '\n' ' ')
echo "hello from four threads: $bytes bytes (at most $most on x86-64)"
[ "$lines" = "hello from 1 hello from 2 hello from 3 hello from 4 " ]
[ "$(uname -m)" != x86_64 ] || [ "$bytes" -le "$most" ]
