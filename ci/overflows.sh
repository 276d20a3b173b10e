#!/usr/bin/env bash
# Stack overflows of each kind in tests/overflow, 1000 of each or as many as the argument says.
set -euo pipefail
cd "$(dirname "$0")/.."
RAWTHREAD_OVERFLOWS=${1:-1000} cargo test -p rawthread --test overflow -- --nocapture
