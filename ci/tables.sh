#!/usr/bin/env bash
# Writes the tables of times in README.md and docs/performance.md, and the sentences with times, from
# docs/figures/*.json: what lies between the lines `<!-- table NAME -->` and `<!-- end of NAME -->`. A table whose
# JSON is not there stays. NAME is a bench's, or that and what is told of it: `workloads-extremes`.
# `ci/tables.sh --check` changes nothing, and fails where a table is not that of its JSON.
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

# The report of a bench has a line for each work and one for each contender.
table() { # table NAME JSON
    awk -v name="$1" -v bench="${1%%-*}" '
function text(key,    rest) {
    rest = $0
    if (!sub(".*\"" key "\": \"", "", rest)) return ""
    sub(/".*/, "", rest)
    return rest
}
function rounds(key,    rest) {
    rest = $0
    if (!sub(".*\"" key "_rounds\": \\[", "", rest)) return ""
    sub(/\].*/, "", rest)
    return rest
}
function median(values, count,    i, j, held) {
    for (i = 2; i <= count; i++) {
        held = values[i]
        for (j = i - 1; j > 0 && values[j] > held; j--) values[j + 1] = values[j]
        values[j + 1] = held
    }
    return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
}
function middle(row, of, key,    list, count, i, values) {
    count = split(all[row, of, key], list, ", ")
    for (i = 1; i <= count; i++) values[i] = list[i] + 0
    return count ? median(values, count) : ""
}
# The median of the ratios of each round.
function ratio(row, of, to, key,    above, below, count, i, values) {
    count = split(all[row, of, key], above, ", ")
    if (!count || split(all[row, to, key], below, ", ") != count) return "–"
    for (i = 1; i <= count; i++) values[i] = above[i] / below[i]
    return sprintf("%.2f", median(values, count))
}
function time(row, of,    value) {
    value = middle(row, of, "wall_us")
    return value == "" ? "–" : sprintf("%.1f", value)
}
/"machine": / { machine = text("machine") }
/"work": / { works[++count] = text("work") }
/"name": / {
    contender = text("name")
    if (!(contender in seen)) { seen[contender] = 1; names[++known] = contender }
    all[count, contender, "wall_us"] = rounds("wall_us")
    all[count, contender, "cpu_us"] = rounds("cpu_us")
    all[count, contender, "peak_kib"] = rounds("peak_kib")
}
# The least and the greatest of the ratios of these rows, as text.
function span(first, last, of, to, key,    row, value, least, most) {
    for (row = first; row <= last; row++) {
        value = ratio(row, of, to, key)
        if (value == "–") continue
        if (least == "" || value + 0 < least + 0) least = value
        if (most == "" || value + 0 > most + 0) most = value
    }
    return least " to " most
}
# The row with the least (direction 1) or the greatest (-1) of the ratios, as text with its name.
function extreme(direction, of, to, key,    row, value, best, at) {
    for (row = 1; row <= count; row++) {
        value = ratio(row, of, to, key)
        if (value == "–") continue
        if (at == "" || direction * value < direction * best) { best = value; at = row }
    }
    sub(/, per .*/, "", works[at])
    return best " (" works[at] ")"
}
END {
    if (name == "locks-extremes") {
        printf "Time of `sync::Mutex` beside others (%s): alone %s of std\047s and %s of parking_lot\047s; ", machine,
            ratio(1, "rawthread", "std", "wall_us"), ratio(1, "rawthread", "parking_lot", "wall_us")
        printf "contended by two to four threads %s of std\047s and %s of parking_lot\047s.\n\n",
            span(2, count, "rawthread", "std", "wall_us"), span(2, count, "rawthread", "parking_lot", "wall_us")
        exit
    }
    if (name == "workloads-extremes") {
        printf "Of std\047s time, threads of this crate take from %s to %s, ",
            extreme(1, "rawthread", "std", "wall_us"), extreme(-1, "rawthread", "std", "wall_us")
        printf "and of its processor time from %s to %s.\n\n",
            extreme(1, "rawthread", "std", "cpu_us"), extreme(-1, "rawthread", "std", "cpu_us")
        exit
    }
    if (name == "workloads-memory") {
        for (row = 1; row <= count; row++) {
            peak = middle(row, "rawthread", "peak_kib") / 1024
            more = peak - middle(row, "std", "peak_kib") / 1024
            if (row == 1 || peak < least) least = peak
            if (row == 1 || peak > most) most = peak
            if (row == 1 || more > worst) worst = more
        }
        printf "Peak memory of the processes: %.1f to %.1f MiB, at most %.1f MiB more than with std.\n\n", least, most, worst
        exit
    }
    printf "%s: `cargo bench --bench %s -- table`.\n\n", machine, bench
    if (name == "calls") {
        print "| call | ns |"
        print "|---|---|"
        for (i = 1; i <= known; i++) printf "| %s | %.0f |\n", names[i], middle(1, names[i], "wall_us") * 1000
    } else if (name == "threads") {
        print "| work, µs per thread | bare clone | rawthread | pthread | std::thread | `warm` | unverified | rawthread ÷ bare clone | std ÷ rawthread | warm ÷ bare clone | unverified ÷ bare clone | rawthread ÷ std, processor time |"
        print "|---|---|---|---|---|---|---|---|---|---|---|---|"
        for (row = 1; row <= count; row++)
            printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", works[row], time(row, "bare clone"),
                time(row, "rawthread"), time(row, "pthread"), time(row, "std"), time(row, "warm"),
                time(row, "warm unverified"), ratio(row, "rawthread", "bare clone", "wall_us"),
                ratio(row, "std", "rawthread", "wall_us"), ratio(row, "warm", "bare clone", "wall_us"),
                ratio(row, "warm unverified", "bare clone", "wall_us"), ratio(row, "rawthread", "std", "cpu_us")
    } else if (name == "locks") {
        print "| work | µs | ÷ std | ÷ parking_lot | ÷ spin lock |"
        print "|---|---|---|---|---|"
        for (row = 1; row <= count; row++)
            printf "| %s | %.3f | %s | %s | %s |\n", works[row], middle(row, "rawthread", "wall_us"),
                ratio(row, "rawthread", "std", "wall_us"), ratio(row, "rawthread", "parking_lot", "wall_us"),
                ratio(row, "rawthread", "spin lock", "wall_us")
    } else {
        printf "| work | std, µs |"
        for (i = 1; i <= known; i++) if (names[i] != "std") printf " %s |", names[i]
        printf "\n|---|---|"
        for (i = 1; i < known; i++) printf "---|"
        print ""
        for (row = 1; row <= count; row++) {
            printf "| %s | %s |", works[row], time(row, "std")
            for (i = 1; i <= known; i++)
                if (names[i] != "std") {
                    wall = ratio(row, names[i], "std", "wall_us")
                    cell = wall == "–" ? "–" : wall " / " ratio(row, names[i], "std", "cpu_us")
                    printf " %s |", cell
                }
            print ""
        }
    }
    print ""
}' "$2"
}

for name in calls threads workloads workloads-extremes workloads-memory locks locks-extremes; do
    json=docs/figures/${name%%-*}.json
    if [ -e "$json" ]; then table "$name" "$json" >"$new/$name"; else echo "$json is not there: its table stays"; fi
done
wrong=0
for page in README.md docs/performance.md; do
    awk -v place="$new" '
    /^<!-- end of / { inside = 0 }
    !inside { print }
    /^<!-- table / {
        file = place "/" $3
        if ((getline line < file) > 0) {
            inside = 1
            do print line; while ((getline line < file) > 0)
            close(file)
        }
    }' "$page" >"$new/page"
    if [ "${1:-}" = --check ]; then
        diff -u "$page" "$new/page" || wrong=1
    else
        cp "$new/page" "$page"
    fi
done
[ "$wrong" = 0 ] || { echo "a table is not that of its JSON: run ci/tables.sh"; exit 1; }
