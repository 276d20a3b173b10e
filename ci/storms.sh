#!/usr/bin/env bash
# The storms of tests/storms, each as long as wanted, and a count of spawns.
#
#     ci/storms.sh [SECONDS EACH [SPAWNS]]      60 and 2,000,000 if left out
#
# In a debug build, whose assertions are checked on the way. A storm that does not end is killed, after
# it was said where each of its threads stands.
set -euo pipefail
cd "$(dirname "$0")/.."
RAWTHREAD_STORM_SECONDS=${1:-60} RAWTHREAD_STORM_SPAWNS=${2:-2000000} \
    cargo test -p rawthread --test storms -- --nocapture --test-threads=2
