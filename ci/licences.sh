#!/usr/bin/env bash
# Every dependency, of every platform, of tests and benches too, may be used under a licence of this list.
set -euo pipefail
cd "$(dirname "$0")/.."
# "A OR B" needs one of these, "A AND B" all.
cargo tree --locked --workspace --edges normal,build,dev --target all --prefix none --format '{l}@{p}' |
    sed 's/ (\*)$//' | sort -u | awk -F@ '
BEGIN { split("MIT Apache-2.0 BSD-2-Clause BSD-3-Clause ISC Zlib Unicode-3.0 0BSD BSL-1.0 Unlicense CC0-1.0", names, " ")
        for (n in names) good[names[n]] = 1 }
function may(all,    parts, n, count, rest) {
    count = split(all, parts, / AND /)
    for (n = 1; n <= count; n++) if (!may_one(parts[n])) return 0
    return count > 0
}
function may_one(any,    parts, n, count, name) {
    count = split(any, parts, / OR |\//)
    for (n = 1; n <= count; n++) { name = parts[n]; gsub(/[() ]| WITH .*/, "", name); if (name in good) return 1 }
    return 0
}
$0 == "" { next }
{ seen++ }
!may($1) { print "licence of " $2 ": " ($1 == "" ? "none" : $1); bad++ }
END { print seen " packages, " bad + 0 " with a licence that is not on the list"; exit bad > 0 || seen == 0 }'
