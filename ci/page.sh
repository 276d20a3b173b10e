#!/usr/bin/env bash
# The page of `lab explore` in a real browser: axe-core finds nothing, the verdict stays in sight, and
# the first steps can be taken, in light and dark, on a phone and on a desk. Needs npm and chromium.
set -euo pipefail
for tool in npm node chromium; do
    command -v "$tool" >/dev/null || { echo "SKIP: $tool is not there"; exit 0; }
done
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
if ! npm --prefix "$place" install --silent playwright-core@1 axe-core@4 >"$place/log" 2>&1; then
    echo "SKIP: npm could not install playwright-core and axe-core"
    exit 0
fi
cargo run --quiet -p rawthread-lab -- explore --html - >"$place/page.html"
NODE_PATH="$place/node_modules" node lab/tests/explore/browser.js "$place/page.html" "$(command -v chromium)"
