#!/usr/bin/env bash
# The suites of hosted programs under sanitizers and valgrind. Takes an hour and more: not part of .ci/run.
#
#   ci/sanitizers.sh                          address, leak and thread, each suite; then valgrind
#   ci/sanitizers.sh address|leak|thread|valgrind [SUITE..]
#
# The nightly toolchain brings the sanitizers; thread also needs its rust-src, since std must be compiled
# for it (rustup component add rust-src --toolchain nightly). Under any of these tools libc makes this
# crate's threads (Support::Libc), so that the tool sees each begin and end.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0
target=x86_64-unknown-linux-gnu
every_suite=(hosted thread local limits regressions warm sync process)
# Seconds for one suite under one tool.
limit=600

# Tests that a tool cannot run, with the reason. No report about this crate's code is suppressed.
common_skips=(
    # Reruns of a suite by libc's threads: all threads are libc's here.
    threads_that_libc_makes
    # About partial or full support, which no tool gets.
    partial_support::the_host_tells partial_support::partial_support_is partial_support::a_tried_glibc
    # The tool's own handler reports a crash or an overflow in its words, or its frames overflow first.
    guard_zero:: process_exit::a_null_dereference process_exit::an_overflow
    # A limit on address space, below what a tool reserves: std's threads fail there, too.
    spawn_panics_where_a_builder
    # Counts of the process's memory: the tool's own is among it.
    twenty_thousand_threads
    # glibc's thread for SIGEV_THREAD is made past the tools' pthread_create.
    a_timer_may_run_a_function
    # The child of a fork has the calling thread alone, returns from it, and ends by exit: what only the stack of
    # the parent's main thread held counts as leaked there.
    fork::the_child_of_a_raw_thread_may_return
)
address_skips=(
    # Compares the address of a local with the stack: the tool keeps locals elsewhere.
    partial_support::libc_makes_the_threads getattr_tells_the_bounds
    # Forks beside threads that start and end: a child hangs now and then, until its watchdog ends it by
    # SIGALRM. The tool is at work in the other threads at the fork. Why it hangs was not found.
    fork::while_raw_threads
)
leak_skips=()
thread_skips=(
    # A destructor of a pthread key in the last of POSIX's rounds: the tool has ended the thread's state in that
    # round (CHECK failed: thr->slot).
    a_destructor_that_sets_again
    # Unlocks a mutex of another thread's on purpose, to see EPERM.
    recursive_and_checking_mutexes
    # Forgets handles on purpose: their threads are leaks.
    a_forgotten_handle
)
# Suites that memcheck runs. helgrind and drd know no atomics: they report each lock of std's and of this
# crate's, so ThreadSanitizer is the tool for races.
memcheck_suites=(local)

host() { rustc +nightly -vV 2>/dev/null | sed -n 's/^host: //p'; }

build() { # build SANITIZER SUITE...: prints lines of suite and program
    local sanitizer=$1 suite std=()
    shift
    [ "$sanitizer" != thread ] || std=(-Zbuild-std)
    for suite in "$@"; do
        printf '%s %s\n' "$suite" "$(CARGO_TARGET_DIR=target/sanitizers/$sanitizer RUSTFLAGS=-Zsanitizer=$sanitizer \
            CARGO_PROFILE_DEV_DEBUG=line-tables-only cargo +nightly test --quiet --locked "${std[@]}" --target "$target" \
            --no-run -p rawthread --test "$suite" --message-format=json \
            | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)"
    done
}

# run TOOL SUITE COMMAND...: prints a line; 1 if a test failed or the tool had something to say
run() {
    local log=target/sanitizers/$1-$2.log start=$SECONDS code=0 reports
    timeout --kill-after=5 "$limit" "${@:3}" >"$log" 2>&1 </dev/null || code=$?
    reports=$(grep -cE '(SUMMARY: |WARNING: )(Address|Leak|Thread)Sanitizer|ERROR SUMMARY: [1-9]' "$log" || true)
    printf '%-9s %-12s %s, reports: %s, SKIP lines: %s (%s s)\n' "$1" "$2" \
        "$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]* passed; [0-9]* failed\).* \([0-9]* filtered out\).*/\1; \2/p' "$log" \
            | tail -n 1 | grep . || echo 'no result')" "$reports" "$(grep -c 'SKIP:' "$log" || true)" "$((SECONDS - start))"
    [ "$code" = 0 ] && [ "$reports" = 0 ] && return 0
    [ "$code" = 124 ] && echo "    not finished in $limit s"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/    FAILED: \1/p' "$log" | sort -u
    sed -n 's/^SUMMARY: /    /p' "$log" | sed 's/ (.*//' | sort | uniq -c
    echo "    log: $log"
    return 1
}

sanitizer() { # sanitizer NAME SUITE...
    local name=$1 suite program failed=0 skips=() skip
    local -n own_skips=${name}_skips
    shift
    for skip in "${common_skips[@]}" "${own_skips[@]}"; do skips+=("--skip=$skip"); done
    printf '\n%s: %s tests are left out by name (see the script)\n' "$name" "${#skips[@]}"
    # die_after_fork: children of the tests make threads after a fork. Thread leaks are reports, too.
    export TSAN_OPTIONS=die_after_fork=0
    while read -r suite program; do
        run "$name" "$suite" "$program" --show-output "${skips[@]}" || failed=1
    done < <(build "$name" "$@")
    return "$failed"
}

valgrind_tools() { # valgrind_tools SUITE...
    local suite program failed=0
    if ! command -v valgrind >/dev/null; then
        echo "SKIP: no valgrind here (Debian: valgrind)"
        return 0
    fi
    printf '\nvalgrind, memcheck\n'
    for suite in "$@"; do
        program=$(cargo test --quiet --locked --no-run -p rawthread --test "$suite" --message-format=json \
            | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
        run memcheck "$suite" valgrind -q --error-exitcode=9 "$program" --show-output \
            --skip threads_that_libc_makes || failed=1
    done
    return "$failed"
}

tools=(address leak thread valgrind)
if [ $# -gt 0 ]; then
    tools=("$1")
    shift
fi
suites=("$@")
memcheck=("$@")
[ ${#suites[@]} -gt 0 ] || suites=("${every_suite[@]}") memcheck=("${memcheck_suites[@]}")
mkdir -p target/sanitizers
failed=()
for tool in "${tools[@]}"; do
    if [ "$tool" = valgrind ]; then
        valgrind_tools "${memcheck[@]}" || failed+=(valgrind)
    elif [ "$(host)" != "$target" ]; then
        echo "SKIP: no nightly toolchain here for $target, for $tool"
    elif [ "$tool" = thread ] && [ ! -d "$(rustc +nightly --print sysroot)/lib/rustlib/src" ]; then
        echo "SKIP: the nightly toolchain here has no rust-src, for $tool"
    else
        sanitizer "$tool" "${suites[@]}" || failed+=("$tool")
    fi
done
echo
if [ ${#failed[@]} -gt 0 ]; then
    echo "not clean: ${failed[*]} (in $SECONDS s)"
    exit 1
fi
echo "clean in $SECONDS s"
