#!/usr/bin/env bash
# Breaks the core on purpose, one edit at a time, and demands that a named check sees each.
#
#     ci/mutants.sh               all of ci/mutants/*.txt (about an hour on two processors)
#     ci/mutants.sh '^list|gate'  those whose name, file and check match an expression
#     MUTANTS_CHECK=1 ci/mutants.sh    whether each text is still there, once (seconds)
#
# A mutant is a file, a text that it has once, the text in its place, and the check that must fail:
#
#     [name] src/file.rs
#     check: model NAME | unit NAME | test SUITE NAME
#     --- ... +++ ... ===
#
# or `equal: ARGUMENT` in the place of the check: an edit that changes nothing that is promised, with the
# argument; or `unseen: REASON`: a wrong one that no check can see. Both are printed and counted, and not
# run. Each check has to pass without an edit first. A check that does not end in time has failed: many
# mutants are lost wakes.
set -uo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/mutants
tree=$target/tree clean=$target/clean
limit=${MUTANTS_SECONDS:-120}
filter=${1-}
export CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_TERM_COLOR=never RUST_BACKTRACE=0

names=() files=() checks=() olds=() news=() arguments=()
part=head name='' file='' check='' argument='' old='' new=''
while IFS= read -r line; do
    case $part:$line in
    head:\[*) name=${line#[} name=${name%%]*} file=${line##*] } check='' argument='' old='' new='' ;;
    head:check:*) check=${line#check: } ;;
    head:equal:* | head:unseen:*) argument=$line ;;
    head:---) part=old ;;
    old:+++) part=new ;;
    new:===)
        part=head
        names+=("$name") files+=("$file") checks+=("$check") arguments+=("$argument")
        olds+=("${old%$'\n'}") news+=("${new%$'\n'}")
        ;;
    old:*) old+=$line$'\n' ;;
    new:*) new+=$line$'\n' ;;
    esac
done < <(cat ci/mutants/*.txt)

# The texts are where the list has them, once each.
broken=0
for i in "${!names[@]}"; do
    text=$(<"${files[i]}") rest=''
    rest=${text/"${olds[i]}"/}
    if [ "$rest" = "$text" ] || [[ $rest == *"${olds[i]}"* ]]; then
        echo "${names[i]}: ${files[i]} does not have its text, or more than once"
        broken=1
    fi
done
twice=$(printf '%s\n' "${names[@]}" | sort | uniq -d)
[ -z "$twice" ] || { echo "twice: $twice"; broken=1; }
[ "$broken" = 0 ] || exit 1
if [ -n "${MUTANTS_CHECK-}" ]; then
    echo "${#names[@]} mutants, each text is there once"
    exit 0
fi

# The tree that is edited, and what its files are put back from; all new to cargo, which may have built an
# edited one last.
rm -rf "$tree" "$clean"
mkdir -p "$tree" "$clean"
for copy in "$tree" "$clean"; do
    git ls-files -z | tar --null -T - -c | tar -x -m -C "$copy"
done

# run KIND SUITE-OR-NAME [NAME]: builds and runs a check in the tree. 0: passed, 1: failed, 2: no build.
run() {
    local log=$target/log flags=() runner=()
    case $1 in
    model)
        flags=(--config profile.release.package.rawthread.opt-level=1
            --config profile.release.package.rawthread.codegen-units=256
            --release --lib --no-default-features --features alloc)
        runner=(env RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target/loom")
        set -- "loom_models::$2"
        ;;
    unit)
        flags=(--lib)
        runner=(env CARGO_TARGET_DIR="$target/std")
        set -- "$2"
        ;;
    test)
        flags=(--test "$2")
        runner=(env CARGO_TARGET_DIR="$target/std")
        set -- "$3"
        ;;
    *) echo "no check: $1" && exit 1 ;;
    esac
    (cd "$tree" && "${runner[@]}" cargo test -q -p rawthread "${flags[@]}" --no-run) >"$log" 2>&1 || return 2
    (cd "$tree" && timeout -k 5 "$limit" "${runner[@]}" cargo test -q -p rawthread "${flags[@]}" -- "$1") \
        >"$log" 2>&1 || return 1
    # A name that no test has passes.
    grep -qE ' [1-9][0-9]* passed' "$log" || return 2
}

declare -A passes=()
killed=0 survived=() equal=0 unseen=0 failed=0
for i in "${!names[@]}"; do
    [[ "${names[i]} ${files[i]} ${checks[i]}" =~ $filter ]] || continue
    if [ -n "${arguments[i]}" ]; then
        case ${arguments[i]} in
        equal:*) equal=$((equal + 1)) ;;
        *) unseen=$((unseen + 1)) ;;
        esac
        echo "${names[i]}: ${arguments[i]}"
        continue
    fi
    check=${checks[i]}
    if [ -z "${passes[$check]-}" ]; then
        # shellcheck disable=SC2086
        run $check
        passes[$check]=$?
        [ "${passes[$check]}" = 0 ] || { echo "UNFIT     $check: it fails without an edit"; tail -20 "$target/log"; }
    fi
    if [ "${passes[$check]}" != 0 ]; then
        failed=$((failed + 1))
        continue
    fi
    text=$(<"$clean/${files[i]}")
    printf '%s\n' "${text/"${olds[i]}"/"${news[i]}"}" >"$tree/${files[i]}"
    # shellcheck disable=SC2086
    run $check
    case $? in
    0) survived+=("${names[i]}") && echo "SURVIVED  ${names[i]} ($check)" ;;
    1) killed=$((killed + 1)) && echo "killed    ${names[i]} ($check)" ;;
    *) failed=$((failed + 1)) && echo "NO BUILD  ${names[i]}" && grep -m3 -A4 -E '^error' "$target/log" ;;
    esac
    cp "$clean/${files[i]}" "$tree/${files[i]}"
done
echo "killed $killed of $((killed + ${#survived[@]} + unseen)); equal: $equal; not run: $failed"
[ "$failed" = 0 ] && [ ${#survived[@]} = 0 ]
