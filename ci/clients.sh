#!/usr/bin/env bash
# Takes crates that use std::thread from the registry, replaces std::thread by rawthread, and runs
# their tests. Needs a network; not part of .ci/run.
#
#   ci/clients.sh [CRATE@VERSION[+DEPENDENCY@VERSION...]...]
#
# What follows a "+" is a dependency of the crate whose threads are replaced, too.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
crates=("$@")
# Of ripgrep's own crates two use std::thread.
ignore=ignore@0.4.23 cli=grep-cli@0.1.11
[ $# -gt 0 ] || crates=(threadpool@1.8.1 crossbeam-channel@0.5.15 rayon-core@1.13.0 "$ignore" "$cli"
    "ripgrep@14.1.1+$ignore+$cli")
work=${CARGO_TARGET_DIR:-$root/target}/clients
failures=0

# Copies the published source of crate $1, version $2, to $work/$1.
take() {
    rm -rf "${work:?}/$1" "$work/fetch"
    mkdir -p "$work/fetch/src"
    : > "$work/fetch/src/lib.rs"
    printf '[package]\nname = "fetch"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
        "$1" "$2" > "$work/fetch/Cargo.toml"
    (cd "$work/fetch" && cargo vendor --quiet --versioned-dirs vendor > /dev/null) || return 1
    mv "$work/fetch/vendor/$1-$2" "$work/$1"
    rm -rf "$work/fetch"
}

# Replaces std::thread in the sources below $1, but not in comments: an example of 2015 would have to
# declare the crate. `use std::{thread, ...}` is split.
replace() {
    find "$1" -name '*.rs' -print0 | xargs -0 perl -0pi -e '
        s/\buse std::\{([^;]*)\};/split_use($1)/ge;
        our $comment = qr~^[ \t]*//[^\n]*\n~m;
        s~($comment)|\buse std::thread;~$1 // "use rawthread as thread;"~ge;
        s~($comment)|\buse std::thread::\{self\b~$1 // "use rawthread::{self as thread"~ge;
        s~($comment)|(?<!\w)(?:::)?std::thread\b(?!_)~$1 // "rawthread"~ge;
        sub split_use {
            my $items = shift;
            my $ours = "";
            $ours .= "use rawthread::{self as thread, $1}; "
                if $items =~ s/\bthread::\{self,\s*([^{}]*)\}\s*,?//;
            $ours .= "use rawthread::{$1}; " if $items =~ s/\bthread::\{([^{}]*)\}\s*,?//;
            $ours .= "use rawthread::$1; " if $items =~ s/\bthread::(\w+)\s*,?//;
            $ours .= "use rawthread as thread; " if $items =~ s/\bthread\b(?!_)\s*,?//;
            "use std::{$items}; $ours"
        }'
    printf '\n[dependencies.rawthread]\npath = "%s"\n\n[workspace]\n' "$root" >> "$1/Cargo.toml"
    # Before the edition of 2018 a crate that is not declared has no name.
    if ! grep -q '^edition' "$1/Cargo.toml"; then
        find "$1/src/lib.rs" "$1/tests" "$1/examples" -maxdepth 1 -name '*.rs' -print0 2> /dev/null |
            xargs -0 perl -0pi -e 's/^((?:(?:\/\/|#!)[^\n]*\n|\s*\n)*)/$1extern crate rawthread;\n/'
    fi
}

# Takes and converts crate $1 (NAME@VERSION).
convert() {
    take "${1%@*}" "${1#*@}" || return 1
    replace "$work/${1%@*}"
    return 0
}

places_in() { # places_in DIRECTORY...
    grep -rho --include='*.rs' '\brawthread\b' "$@" | wc -l
}

for crates_of_one in "${crates[@]}"; do
    IFS=+ read -ra parts <<< "$crates_of_one"
    directories=()
    for part in "${parts[@]}"; do
        convert "$part" || { echo "SKIP: $part cannot be fetched"; continue 2; }
        directories+=("$work/${part%@*}")
    done
    patches=("${directories[@]:1}")
    if [ ${#patches[@]} -gt 0 ]; then
        printf '\n[patch.crates-io]\n' >> "${directories[0]}/Cargo.toml"
        for patch in "${patches[@]}"; do
            printf '%s = { path = "%s" }\n' "$(basename "$patch")" "$patch" >> "${directories[0]}/Cargo.toml"
            # A workspace of its own is none where another crate depends on it.
            sed -i '/^\[workspace\]$/d' "$patch/Cargo.toml"
        done
    fi
    name=${parts[0]%@*}
    log=$work/$name.log
    (cd "${directories[0]}" && CARGO_TARGET_DIR="$work/target" cargo test --no-fail-fast) > "$log" 2>&1
    status=$?
    passed=$(awk '/^test result/ { passed += $4 } END { print passed + 0 }' "$log")
    failed=$(awk '/^test result/ { failed += $6 } END { print failed + 0 }' "$log")
    echo "$crates_of_one: $(places_in "${directories[@]}") places, $passed tests passed, $failed failed," \
        "cargo test ended with $status"
    [ "$status" = 0 ] || { failures=1; grep -E '^(error|    [a-z_:]+$)|FAILED' "$log" | head; }
done
exit $failures
