#!/usr/bin/env bash
# Fuzzes the readers of files, and the kernels against the scalar ones. Needs clang with libFuzzer.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]   each target (all of tests/fuzz without names) for SECONDS (10), two at a time
#
# Seeds are tests/fuzz/corpus/TARGET; new inputs go to build/fuzz/corpus/TARGET and are seeds of the next run.
# A crash, a hang of 10 s or an allocation beyond 64 MB + 30 x the input fails the run; the input that did it
# is build/fuzz/found/TARGET-*, and `build/fuzz/bin/fuzz_TARGET THAT_FILE` shows it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=10
case "${1:-}" in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "fuzz.sh: unknown option $1; see scripts/fuzz.sh --help" >&2; exit 2 ;;
  [0-9]*) seconds=$1; shift ;;
esac
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for source in tests/fuzz/fuzz_*.cpp; do name=${source##*/fuzz_}; targets+=("${name%.cpp}"); done
for target in "${targets[@]}"; do
  [ -f "tests/fuzz/fuzz_$target.cpp" ] || { echo "fuzz.sh: no target $target: there is no tests/fuzz/fuzz_$target.cpp" >&2; exit 2; }
done

cmake --preset fuzz > /dev/null
cmake --build --preset fuzz --target fuzzers
mkdir -p build/fuzz/found build/fuzz/logs

fuzz() {
  local target=$1 seconds=$2 log=build/fuzz/logs/$1.log seeds=tests/fuzz/corpus/$1 dictionary=tests/fuzz/$1.dict
  mkdir -p "build/fuzz/corpus/$target"
  local options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="build/fuzz/found/$target-")
  [ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
  if "build/fuzz/bin/fuzz_$target" "${options[@]}" "build/fuzz/corpus/$target" $([ ! -d "$seeds" ] || echo "$seeds") > "$log" 2>&1; then
    printf '%-16s %s inputs, nothing found\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    echo "fuzz.sh: $target: found one, see $log" >&2
    grep -m 3 -E 'ERROR|^fuzz: |runtime error' "$log" >&2
    return 1
  fi
}
export -f fuzz
printf '%s\0' "${targets[@]}" | xargs -0 -P 2 -I TARGET bash -c 'fuzz "$1" "$2"' - TARGET "$seconds"
