#!/usr/bin/env bash
# As many threads as Linux can have here, 190000, all of which end at once; as root. Needs 2 GiB and,
# on two processors, a minute. `tests/limits` does the same with 100000.
set -euo pipefail
cargo build --release --example many
binary=${CARGO_TARGET_DIR:-target}/release/examples/many
before=$(cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max)
out=$(timeout 600 "$binary" "${1:-190000}")
echo "$out"
case $out in
*"all joined"*) ;;
*) exit 1 ;;
esac
if [[ $out == *"stopped at"* ]]; then
    echo "SKIP: this machine does not hold so many threads"
fi
# A signal puts the limits back, too.
"$binary" 50000 >/dev/null &
sleep 0.2
kill -TERM $!
wait $! || true
[ "$before" = "$(cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max)" ]
