#!/usr/bin/env bash
# The unit tests of what `cargo test` leaves out: of the runtime without libc, and of the hosted one
# without std. And the memory of a live thread in an optimised build, whose frames are others.
set -euo pipefail
for features in "" hosted; do
    cargo test -p rawthread --lib --no-default-features --features "$features"
done
cargo test -p rawthread --release --test figures live
