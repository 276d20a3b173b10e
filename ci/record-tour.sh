#!/usr/bin/env bash
# Records `lab tour` as docs/figures/tour.svg: a terminal whose lines scroll. The text is what the
# tour prints here, in the colours that it uses on a terminal. `ci/record-tour.sh [FILE]`
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-docs/figures/tour.svg}
command -v script >/dev/null || { echo "SKIP: no script(1), which runs a program on a terminal"; exit 0; }
cargo build --quiet --release -p rawthread-lab
lab=${CARGO_TARGET_DIR:-target}/release/lab
mkdir -p "$(dirname "$file")"
script -qec "stty cols 80; $lab tour" /dev/null </dev/null | tr -d '\r' | awk '
# A line with the codes of a terminal as XML. What is in force at its end is in force on the next one.
function marked(line,    out, at, code) {
    gsub(/&/, "\\&amp;", line); gsub(/</, "\\&lt;", line)
    out = style == "" ? "" : "<tspan class=\"" style "\">"
    while ((at = index(line, "\033[")) > 0) {
        out = out substr(line, 1, at - 1)
        line = substr(line, at + 2)
        at = index(line, "m"); code = substr(line, 1, at - 1); line = substr(line, at + 1)
        gsub(/;/, "-", code)
        if (style != "") out = out "</tspan>"
        style = code == "0" ? "" : "s" code
        if (style != "") out = out "<tspan class=\"" style "\">"
    }
    return out line (style == "" ? "" : "</tspan>")
}
{ lines[NR] = marked($0) }
END {
    shown = 30; step = 17; top = 44
    width = 700; height = top + shown * step + 12
    rest = NR + 1 - shown; seconds = rest * 0.45 + 6
    begin = 300 / seconds; end = 100 - 300 / seconds
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t\">\n", width, height
    print "<title id=\"t\">A terminal: lab tour makes a task in twelve ways, and shows what was predicted beside what was observed</title>"
    print "<style>"
    print "text { font: 13px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; fill: #d8dee6; white-space: pre }"
    print ".s1 { fill: #fff; font-weight: 700 } .s2 { fill: #8b949e } .s33 { fill: #e3b341 } .s36 { fill: #56d4dd }"
    print ".s32 { fill: #56d364 } .s1-31 { fill: #ff7b72; font-weight: 700 } .prompt { fill: #56d364 }"
    printf "@keyframes scroll { 0%%, %.1f%% { transform: translateY(0) } %.1f%%, 100%% { transform: translateY(-%dpx) } }\n", begin, end, rest * step
    printf "@media (prefers-reduced-motion: no-preference) { .page { animation: scroll %.0fs steps(%d) infinite } }\n", seconds, rest
    print "</style>"
    printf "<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#0d1117\"/>\n", width, height
    print "<circle cx=\"18\" cy=\"16\" r=\"5\" fill=\"#ff5f57\"/><circle cx=\"36\" cy=\"16\" r=\"5\" fill=\"#febc2e\"/><circle cx=\"54\" cy=\"16\" r=\"5\" fill=\"#28c840\"/>"
    printf "<clipPath id=\"window\"><rect y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n", top - 14, width, shown * step + 6
    print "<g clip-path=\"url(#window)\"><g class=\"page\">"
    printf "<text x=\"16\" y=\"%d\"><tspan class=\"prompt\">$</tspan> lab tour</text>\n", top
    for (n = 1; n <= NR; n++)
        if (lines[n] != "") printf "<text x=\"16\" y=\"%d\">%s</text>\n", top + n * step, lines[n]
    print "</g></g>\n</svg>"
}' >"$file"
echo "wrote $file"
