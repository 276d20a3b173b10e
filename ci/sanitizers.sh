#!/usr/bin/env bash
# This crate under sanitizers and valgrind: a program that each tool must not report, programs that it must
# (ci/tests/watched.rs), and the suites of hosted programs.
#
#   ci/sanitizers.sh --quick                  the programs alone, under each tool (in .ci/run)
#   ci/sanitizers.sh                          the programs, then each suite (an hour and more)
#   ci/sanitizers.sh address|leak|thread|memcheck [SUITE..]
#
# The nightly toolchain brings the sanitizers; thread also needs its rust-src, since std must be compiled
# for it (rustup component add rust-src --toolchain nightly). Under any of these tools libc makes this
# crate's threads (Support::Libc), so that the tool sees each begin and end.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0
out=${CARGO_TARGET_DIR:-$PWD/target}/sanitizers
target=x86_64-unknown-linux-gnu
every_suite=(hosted thread local limits regressions warm sync process)
# Seconds for one suite under one tool.
limit=900

# Tests that a tool cannot run, with the reason. No report about this crate's code is suppressed.
common_skips=(
    # Reruns of a suite by libc's threads: all threads are libc's here.
    threads_that_libc_makes
    # Compares sources, which lie elsewhere than this package.
    list::
    # About partial or full support, which no tool gets.
    partial_support::the_host_tells partial_support::partial_support_is partial_support::a_tried_glibc
    # The tool's own handler reports a crash or an overflow in its words, or its frames overflow first.
    guard_zero:: process_exit::a_null_dereference process_exit::an_overflow
    # A limit on address space, on map entries or on memory, below what a tool takes for a thread of anyone's: std's
    # threads fail there, too.
    spawn_panics_where_a_builder memory::
    # Count the process's memory or map entries: the tool's own are among them (its blocks that were freed, its
    # data for each thread, and what it keeps of each child's control block that was killed).
    twenty_thousand_threads a_hundred_thousand_threads release:: sizes::absurd counts::a_set_is_as_before
    a_handler_that_comes_before records::sets_leave_no_memory identity::a_slot_is_used_again
    child::many_dropped_children vm_closure::a_killed_child_keeps tasks::cgroup_pids tasks::pid_max
    # LeakSanitizer forks at the end of the process, which the test's limit refuses.
    tasks::rlimit_nproc tasks::threads_max
    # The process has given up ids: LeakSanitizer may not look at its threads any more, and says so at the end.
    inputs::a_builder_holds_its_cgroup surroundings::no_saved_id_is_left
    # The tool makes mlockall(2) do nothing.
    reasons::rlimit_memlock
    # glibc's thread for SIGEV_THREAD is made past the tools' pthread_create.
    a_timer_may_run_a_function
    # The child of a fork has the calling thread alone, returns from it, and ends by exit: what only the stack of
    # the parent's main thread held counts as leaked there, and std's name of that thread.
    fork::the_child_of_a_raw_thread_may_return attack_fork_amid::a_thread_ends_in_the_child
    forked_child::the_child_ends_as_with_a_pthread
)
address_skips=(
    # Compares the address of a local with the stack: the tool keeps locals elsewhere.
    partial_support::libc_makes_the_threads getattr_tells_the_bounds
    builder::the_stack_of_a_vm_child_has_a_guard
    # Forks beside threads that start and end. The lock of the tool's quarantine (Quarantine::Drain), which a thread
    # takes at its end, is held by one of these at the fork and stays locked in the child, whose own thread waits
    # for it for ever. std's threads hang there, too.
    fork::while_raw_threads
    # A child of clone that shares memory leaves its closure on a stack that the tool does not know: it warns, or,
    # in a pid namespace whose /proc is another's, fails at its own look at that stack (pthread_getattr_np).
    orphans::a_parent_outside_the_pid_namespace vm_closure::the_status_of_an_init
    # Copies of this crate in libraries that are not compiled for the tool. A Rust program does not show the tool's
    # functions to the loader, so they do not know of it and make raw clones; one ended by SIGSEGV beside setegid,
    # at a store to its own stack after a system call. Not explained.
    two_copies::
)
leak_skips=(
    # As for address.
    two_copies::
)
memcheck_skips=()
thread_skips=(
    # As for address.
    two_copies::
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

# build TOOL COMMAND..: the program that cargo makes of ci/tests by this command
build() {
    local tool=$1 toolchain=+nightly std=() flags=-Zsanitizer=$1
    shift
    case $tool in
        memcheck) toolchain=+$(rustup show active-toolchain | cut -d' ' -f1) flags= ;;
        thread) std=(-Zbuild-std) ;;
    esac
    CARGO_TARGET_DIR=$out/$tool RUSTFLAGS=$flags CARGO_PROFILE_DEV_DEBUG=line-tables-only \
        cargo "$toolchain" "$@" --quiet --locked "${std[@]}" --target "$target" \
        --manifest-path ci/tests/Cargo.toml --features watched --message-format=json \
        | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# sees TOOL NAME EXPECTED [ARGUMENT]: runs the program with the argument; the tool must say EXPECTED and end the
# program with an error, or, if that is "nothing", be silent
sees() {
    local log=$out/$1-watched-$2.log code=0 wrapper=()
    # Blocks that threads which live hold by their thread-local vectors are "possibly lost", std's too.
    [ "$1" != memcheck ] || wrapper=(valgrind -q --error-exitcode=9 --leak-check=full
        --show-leak-kinds=definite --errors-for-leak-kinds=definite)
    timeout --kill-after=5 120 "${wrapper[@]}" "$program" "${@:4}" >"$log" 2>&1 </dev/null || code=$?
    if [ "$3" = nothing ]; then
        [ "$code" = 0 ] && grep -qx 'to the end' "$log" && ! grep -qE 'Sanitizer|^==' "$log"
    else
        [ "$code" != 0 ] && grep -qE -- "$3" "$log"
    fi && { printf '%-9s %-12s as expected: %s\n' "$1" "$2" "$3"; return 0; }
    printf '%-9s %-12s NOT as expected (%s); the program ended with %s\n' "$1" "$2" "$3" "$code"
    head -n 40 "$log"
    return 1
}

programs() { # programs TOOL: the tool's default options
    local program failed=0
    program=$(build "$1" build --example watched)
    sees "$1" all nothing || failed=1
    case $1 in
        # The heap's end is passed in a thread that the report names.
        address) sees "$1" overflow 'READ of size 1 at .* thread T[0-9]+ \(clumsy\)' overflow || failed=1 ;;
        thread) sees "$1" race 'WARNING: ThreadSanitizer: data race' race || failed=1 ;;
        memcheck) sees "$1" uninitialized 'depends on uninitialised value' uninitialized || failed=1 ;;
    esac
    if [ "$1" != thread ]; then
        sees "$1" held nothing held || failed=1
        sees "$1" leak '4,?711 byte.* in 1 (block|object|allocation)' leak || failed=1
    fi
    return "$failed"
}

# run TOOL SUITE COMMAND...: prints a line; 1 if a test failed or the tool had something to say
run() {
    local log=$out/$1-$2.log start=$SECONDS code=0 reports
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

suites() { # suites TOOL SUITE...
    local tool=$1 suite program failed=0 skips=() skip wrapper=()
    local -n own_skips=${tool}_skips
    shift
    [ "$tool" != memcheck ] || wrapper=(valgrind -q --error-exitcode=9)
    for skip in "${common_skips[@]}" "${own_skips[@]}"; do skips+=("--skip=$skip"); done
    printf '%s: %s names of tests are left out (see the script)\n' "$tool" "${#skips[@]}"
    for suite in "$@"; do
        program=$(build "$tool" test --no-run --test "$suite")
        # die_after_fork: children of the tests make threads after a fork. Thread leaks are reports, too.
        TSAN_OPTIONS=die_after_fork=0 run "$tool" "$suite" "${wrapper[@]}" "$program" --show-output "${skips[@]}" ||
            failed=1
    done
    return "$failed"
}

can_run() { # can_run TOOL
    if [ "$1" = memcheck ]; then
        command -v valgrind >/dev/null || { echo "SKIP: no valgrind here (Debian: valgrind)"; return 1; }
    elif [ "$(host)" != "$target" ]; then
        echo "SKIP: no nightly toolchain here for $target, for $1"
        return 1
    elif [ "$1" = thread ] && [ ! -d "$(rustc +nightly --print sysroot)/lib/rustlib/src" ]; then
        echo "SKIP: the nightly toolchain here has no rust-src, for $1"
        return 1
    elif [ "$1" = thread ] && ! cargo +nightly fetch --quiet --locked --manifest-path \
        "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library/Cargo.toml" 2>/dev/null; then
        echo "SKIP: the packages that std is compiled from cannot be had here, for $1"
        return 1
    fi
}

tools=(address leak thread memcheck) quick=0
case ${1-} in
    --quick) quick=1 ;;
    ?*)
        tools=("$1")
        shift
        ;;
esac
mkdir -p "$out"
failed=()
for tool in "${tools[@]}"; do
    can_run "$tool" || continue
    programs "$tool" || failed+=("$tool, programs")
    [ "$quick" = 0 ] || continue
    which=("$@")
    [ $# -gt 0 ] || which=("${every_suite[@]}")
    [ $# -gt 0 ] || [ "$tool" != memcheck ] || which=("${memcheck_suites[@]}")
    suites "$tool" "${which[@]}" || failed+=("$tool")
done
echo
if [ ${#failed[@]} -gt 0 ]; then
    echo "not clean: ${failed[*]} (in $SECONDS s)"
    exit 1
fi
echo "clean in $SECONDS s"
