#!/usr/bin/env bash
# Installs what tests can use beyond rustup, gcc and make, where that is possible. Tests that miss a tool
# print a line that starts with SKIP and say which.
set -euo pipefail
wanted=(strace musl-tools golang-go patchelf)
# 32-bit programs, for `lab trace`.
[ "$(uname -m)" = x86_64 ] && wanted+=(gcc-multilib)
missing=()
for package in "${wanted[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "all there: ${wanted[*]}"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >/dev/null 2>&1 || echo "could not install: ${missing[*]}"
else
    echo "not installed (needs root and apt): ${missing[*]}"
fi
