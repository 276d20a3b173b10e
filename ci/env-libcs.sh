#!/usr/bin/env bash
# The test suites on other versions of glibc than this machine's.
#
#   ci/env-libcs.sh           the suites that CI runs, on each version but this machine's
#   ci/env-libcs.sh all       every suite
#   ci/env-libcs.sh all DIR.. every suite, only on the glibc in each DIR (made by `make install
#                             DESTDIR=DIR`, for one that Debian does not ship)
#
# Each libc comes from its Debian suite, through an apt directory of our own: neither the packages
# nor the package lists of this machine change. The libc is unpacked under target/libcs and used by
# copies of the test programs whose interpreter and library path are set to it, so that a test that
# runs its program again stays on it. Remove target/libcs/root to fetch newer packages.
#
# A program that is linked here needs symbols of this machine's glibc. For an older libc, the same
# tests are linked with the files of the oldest one.
#
# A test that cannot run prints a line with SKIP. These lines are counted per suite and listed:
# a skipped test is not a test that passed.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0

# Debian's suites, oldest first. bullseye's files also link the programs for older libcs.
suites=(bullseye bookworm trixie sid experimental)
every_test=(hosted thread local limits regressions warm third_party reserve process attributes)
# What depends on the libc most.
ci_tests=(hosted thread local regressions warm reserve)
# Tests that do not pass where the level is partial; docs/libcs.md tells the causes. They are left
# out there, named and counted. Delete each as soon as it passes.
partial_fails=(
    pthreads::names_affinity_and_clocks_work_on_pthread_self
    forked_child::a_handle_of_a_process_gives_the_child_no_tcb
    forked_child::a_handle_of_an_ended_thread_gives_the_child_its_result_and_nothing_else
    forked_child::the_child_ends_as_with_a_pthread_when_its_thread_returns
    reaper::no_thread_keeps_root_beside_a_child_that_is_never_waited_for
    idle_threads_leave_after_their_time_and_at_a_trim
)
# Seconds for one suite on one libc; the longest takes 20 alone.
limit=300

tests=("${ci_tests[@]}")
every=false
if [ "${1-}" = all ]; then
    tests=("${every_test[@]}")
    every=true
    shift
fi
folder=$PWD/target/libcs
roots=$folder/root
# Where this machine's own packages come from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/*$' || true)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

for tool in apt-get dpkg patchelf; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIP: no $tool here"
        exit 0
    fi
done
if [ "$(uname -m)" != x86_64 ] || [ "$(dpkg --print-architecture)" != amd64 ]; then
    echo "SKIP: the libcs are fetched for x86-64 only"
    exit 0
fi

if [ -z "$mirror" ]; then
    echo "SKIP: this machine's packages are not Debian's"
    exit 0
fi

private_apt() { # private_apt ARGUMENT...: apt-get on lists and caches of our own
    timeout 200 apt-get -qq -o Dir::Etc::SourceList="$folder/apt/sources.list" \
        -o Dir::Etc::SourceParts=- -o Dir::State="$folder/apt" \
        -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" \
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin \
        -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=2 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

fetch() { # Unpacks the libc of each suite that is not there yet.
    local suite missing=()
    for suite in "${suites[@]}"; do
        [ -e "$roots/$suite" ] || missing+=("$suite")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    mkdir -p "$folder"/apt/lists/partial "$folder"/apt/cache/archives/partial "$roots"
    : >"$folder/apt/status"
    for suite in "${missing[@]}"; do
        echo "deb [signed-by=$keyring] $mirror $suite main"
    done >"$folder/apt/sources.list"
    private_apt update || echo "SKIP: not every package list could be fetched"
    for suite in "${missing[@]}"; do
        fetch_suite "$suite" || echo "SKIP: no libc of $suite could be fetched"
    done
}

fetch_suite() { # fetch_suite SUITE
    local unpacked=$folder/unpacked package packages=("libc6/$1")
    # The oldest libc is linked with, too.
    [ "$1" != "${suites[0]}" ] || packages+=("libc6-dev/$1" "libgcc-s1/$1")
    rm -rf "$unpacked"
    mkdir -p "$unpacked/packages"
    (cd "$unpacked/packages" && private_apt download "${packages[@]}") || return 1
    for package in "$unpacked"/packages/*.deb; do
        dpkg -x "$package" "$unpacked" || return 1
    done
    rm -r "$unpacked/packages"
    # Absolute links would lead out of the folder.
    find "$unpacked" -type l -lname '/*' | while read -r package; do
        ln -sfn "$roots/$1$(readlink "$package")" "$package"
    done
    mv "$unpacked" "$roots/$1"
}

libraries_of() { # libraries_of ROOT
    dirname "$(find "$1" -name libc.so.6 -print -quit)"
}

loader_of() { # loader_of ROOT
    echo "$(libraries_of "$1")/ld-linux-x86-64.so.2"
}

version_of() { # version_of ROOT
    "$(loader_of "$1")" "$(libraries_of "$1")/libc.so.6" | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p'
}

programs() { # programs [RUSTC-ARGUMENT...]: builds the tests; prints lines of name and path
    local test
    # An example that is built with the test profile would be a test program without a test.
    program host dev --example host "$@"
    for test in "${tests[@]}"; do
        program "$test" test --test "$test" "$@"
    done
}

program() { # program NAME PROFILE KIND NAME [RUSTC-ARGUMENT...]
    # Arguments for one program's own rustc leave what it depends on as it is.
    printf '%s %s\n' "$1" "$(cargo rustc --quiet --locked -p rawthread --profile "$2" "$3" "$4" \
        --message-format=json-render-diagnostics -- "${@:5}" \
        | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)"
}

run_suite() { # run_suite LABEL SUITE PROGRAM [ARGUMENT...]: prints one line; 1 if a test failed
    local log=$folder/log/$1-$2 start=$SECONDS code=0 skipped
    # timeout ends the whole process group, with what a test left running.
    timeout --kill-after=5 "$limit" "$3" --show-output "${@:4}" >"$log" 2>&1 </dev/null || code=$?
    skipped=$(grep -c 'SKIP:' "$log" || true)
    printf '%-12s %s, SKIP lines: %s (%s s)\n' "$2" \
        "$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]* passed; [0-9]* failed\).* \([0-9]* filtered out\).*/\1; \2/p' "$log" \
            | tail -n 1 | grep . || echo 'no result')" "$skipped" "$((SECONDS - start))"
    all_skips=$((all_skips + skipped))
    grep 'SKIP:' "$log" | sed 's/.*SKIP:/SKIP:/' | sort | uniq -c | sed 's/^/    /' || true
    # What these suites say where the races against setuid and its family cannot run.
    ! grep -q 'SKIP: changing ids needs root' "$log" || races_skipped+=("$1 $2")
    [ "$code" = 0 ] && return 0
    [ "$code" = 124 ] && echo "    not finished in $limit s"
    [ "$code" -gt 128 ] && echo "    ended by signal $((code - 128))"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/    FAILED: \1/p' "$log"
    sed -n 's/^test \(.* has been running for .*\)/    \1/p' "$log"
    failed_logs+=("$log")
    return 1
}

run_libc() { # run_libc LABEL ROOT: the suites on that libc
    local version libraries copies=$folder/program/$1 suite program list libgcc level left_out=() failed=0
    version=$(version_of "$2")
    libraries=$(libraries_of "$2")
    # libgcc asks for symbols of the libc that it was built with.
    if [ "$(printf '%s\n' "$version" "$here" | sort -V | head -n 1)" = "$here" ]; then
        list=$folder/programs-here
        libgcc=$(gcc -print-file-name=libgcc_s.so.1)
    else
        list=$folder/programs-oldest
        libgcc=$(libraries_of "$roots/${suites[0]}")/libgcc_s.so.1
    fi
    rm -rf "$copies"
    mkdir -p "$copies/lib"
    cp "$libgcc" "$copies/lib"
    while read -r suite program; do
        cp "$program" "$copies/$suite"
        patchelf --set-interpreter "$(loader_of "$2")" --force-rpath --set-rpath "$libraries:$copies/lib" \
            "$copies/$suite"
    done <"$list"
    printf '\nglibc %s (%s), linked with glibc %s: ' "$version" "$1" \
        "$([ "$list" = "$folder/programs-here" ] && echo "$here" || echo "$oldest")"
    level=$("$copies/host")
    echo "$level"
    if [[ $level == *": Partial ("* ]]; then
        echo "left out (filtered out, below), as they do not pass at this level:"
        printf '    %s\n' "${partial_fails[@]}"
        left_out=("${partial_fails[@]/#/--skip=}")
    fi
    all_skips=0
    for suite in "${tests[@]}"; do
        run_suite "$1" "$suite" "$copies/$suite" "${left_out[@]}" || failed=1
    done
    totals+=("glibc $version: $all_skips SKIP lines, ${#left_out[@]} tests left out by name")
    return "$failed"
}

mkdir -p "$folder/log"
fetch
here=$(ldd --version | sed -n '1s/.* //p')
oldest=none
[ ! -e "$roots/${suites[0]}" ] || oldest=$(version_of "$roots/${suites[0]}")

programs >"$folder/programs-here"
if [ "$oldest" != none ]; then
    # C's startup files and libraries of the oldest libc; gcc's own files of this machine.
    root=$roots/${suites[0]}
    programs -C "link-arg=--sysroot=$root" -C "link-arg=-B$root/usr/lib/x86_64-linux-gnu" \
        -C "link-arg=-L$root/usr/lib/x86_64-linux-gnu" -C "link-arg=-L$root/lib/x86_64-linux-gnu" \
        >"$folder/programs-oldest"
fi

failed=()
failed_logs=()
races_skipped=()
totals=()
all_skips=0
if [ $# -gt 0 ]; then
    for root in "$@"; do
        # Tests change their directory.
        root=$(realpath "$root")
        run_libc "$(basename "$root")" "$root" || failed+=("$root")
    done
else
    for suite in "${suites[@]}"; do
        [ -e "$roots/$suite" ] || continue
        if ! $every && [ "$(version_of "$roots/$suite")" = "$here" ]; then
            printf '\nglibc %s (%s): as on this machine, see cargo test\n' "$here" "$suite"
            continue
        fi
        run_libc "$suite" "$roots/$suite" || failed+=("$suite")
    done
fi
printf '\nnot checked:\n'
printf '    %s\n' "${totals[@]}"
echo
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed on: ${failed[*]} (in $SECONDS s)"
    # Last, since what keeps a long log keeps its end.
    for log in "${failed_logs[@]}"; do
        printf '\n%s, the end:\n' "$log"
        tail -n 40 "$log"
    done
    exit 1
fi
if [ ${#races_skipped[@]} -gt 0 ]; then
    echo "SKIP: the races against setuid, which need root: ${races_skipped[*]}"
    echo "what ran passed in $SECONDS s"
    exit 0
fi
echo "all passed in $SECONDS s"
