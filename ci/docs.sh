#!/usr/bin/env bash
# The public documentation builds without warnings, and links to no private item.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features rawthread/lock_api
RUSTDOCFLAGS="-D warnings" cargo doc -p rawthread --no-deps --no-default-features --features alloc
RUSTDOCFLAGS="-D warnings" cargo doc -p rawthread --no-deps --no-default-features --features start
RUSTDOCFLAGS="-D warnings" cargo doc -p rawthread --no-deps --no-default-features --features alloc,start,panic-thread
# The tables of times are those of their figures.
ci/tables.sh --check
