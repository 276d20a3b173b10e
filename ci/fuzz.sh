#!/usr/bin/env bash
# Generated input for long: what the tests do with a few seeds, with as many as the time has.
#
#     ci/fuzz.sh [SECONDS EACH [FIRST SEED]]      60 and a seed by the clock if left out
#
# The parsers of flags and of strace's lines, builders with any settings, the readers of /proc, of mounts,
# quotas and user files, the reset of thread-locals' images, and verdicts on clone against the kernel. A
# failure names its seed, with which it is the same again; its text then is a line for tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
export RAWTHREAD_FUZZ_SECONDS=${1:-60} RAWTHREAD_FUZZ_SEED=${2:-$(date +%s)000}
echo "RAWTHREAD_FUZZ_SEED=$RAWTHREAD_FUZZ_SEED"
cargo test -p rawthread --test fuzz -- --nocapture
cargo test -p rawthread --lib -- --nocapture any_
cargo test -p rawthread-lab --test explain_any_line -- --nocapture
# Each run has other draws.
end=$((SECONDS + RAWTHREAD_FUZZ_SECONDS))
while [ "$SECONDS" -lt "$end" ]; do
    RAWTHREAD_FUZZ_SEED=$((RAWTHREAD_FUZZ_SEED += 1)) cargo test -q -p rawthread --test flags against_kernel
done
