#!/usr/bin/env bash
# Both crates can be packaged: what a package leaves out, it does not need. `ci/package.sh --verify` also
# builds what is packed.
set -euo pipefail
cd "$(dirname "$0")/.."
verify=--no-verify
[ "${1:-}" = --verify ] && verify=
cargo package --workspace --allow-dirty --quiet $verify
for crate in rawthread rawthread-lab; do
    file=$(ls "${CARGO_TARGET_DIR:-target}"/package/"$crate"-[0-9]*.crate | tail -1)
    printf '%s: %s files, %s bytes\n' "$crate" "$(tar tzf "$file" | wc -l)" "$(stat -c %s "$file")"
done
