#!/usr/bin/env bash
# The public API of the crate with std is that of docs/api.txt, a line for each item, method and
# implementation, as rustdoc writes them. `ci/api.sh --write` writes the present API there.
set -euo pipefail
cd "$(dirname "$0")/.."
listing=docs/api.txt
target=${CARGO_TARGET_DIR:-target}/api
rm -rf "$target/doc"
RUSTDOCFLAGS="--cap-lints allow" cargo doc --locked --quiet -p rawthread --no-deps --features lock_api --target-dir "$target"
now=$target/api.txt
(cd "$target/doc/rawthread" && find . -name '*.html' ! -path './guide/*' ! -name all.html | LC_ALL=C sort) |
    while read -r page; do
        path=${page#./}
        path=${path%.html}
        # A page of an item is a directory and "kind.name", a module is "index".
        item=${path##*/}
        module=${path%"$item"}
        module=rawthread::${module//\//::}
        [ "$item" = index ] && name=${module%::} || name=$module${item#*.}
        tr '\n' ' ' <"$target/doc/rawthread/$path.html" | awk -v name="$name" -v kind="${item%%.*}" '
        function plain(html) {
            gsub(/<div class="where">|<br ?\/?>/, " ", html); gsub(/<[^>]*>/, "", html)
            gsub(/&lt;/, "<", html); gsub(/&gt;/, ">", html); gsub(/&quot;/, "\"", html)
            gsub(/&#39;|&#x27;/, "\047", html); gsub(/&nbsp;|\302\240/, " ", html); gsub(/&amp;/, "\\&", html)
            gsub(/[ \t]+/, " ", html); sub(/^ /, "", html); sub(/ $/, "", html)
            return html
        }
        # The text between `from` and the next `to`, in every place that begins with `from`.
        function each(html, from, to, label,    at, end, text) {
            while ((at = index(html, from)) > 0) {
                html = substr(html, at + length(from))
                end = index(html, to)
                text = plain(substr(html, 1, end - 1))
                # Nor are the heads of its own blocks, and the traits that the compiler has for itself.
                if (text != "" && !(label != "" && text ~ /^(unsafe )?impl/) && text !~ /^impl(<.*>)? !?(Freeze|UnsafeUnpin|StructuralPartialEq) for/)
                    print name ": " label text
                html = substr(html, end)
            }
        }
        {
            page = $0
            # What holds for every type, and whatever a blanket implementation brings, is not the crate s.
            at = index(page, "<h2 id=\"blanket-implementations\"")
            if (at > 0) page = substr(page, 1, at - 1)
            own = page; traits = ""
            if (kind != "trait" && (at = index(page, "<h2 id=\"trait-implementations\"")) > 0) {
                own = substr(page, 1, at - 1); traits = substr(page, at)
            }
            if (kind == "index") print name ": module"
            each(own, "<pre class=\"rust item-decl\">", "</pre>", "")
            each(own, "<h3 class=\"code-header\">", "</h3>", "variant ")
            each(own, "<h4 class=\"code-header\">", "</h4>", "")
            each(traits, "<h3 class=\"code-header\">", "</h3>", "")
        }'
    done | LC_ALL=C sort -u >"$now"
[ "$(wc -l <"$now")" -gt 300 ] || { echo "only $(wc -l <"$now") lines: rustdoc writes its pages in another way"; exit 1; }
if [ "${1:-}" = --write ]; then
    cp "$now" "$listing"
    echo "wrote $listing: $(wc -l <"$listing") lines"
elif ! diff -u "$listing" "$now"; then
    echo "The public API is not that of $listing. If the change is meant: ci/api.sh --write, and a line in CHANGELOG.md."
    exit 1
else
    echo "the public API is that of $listing"
fi
