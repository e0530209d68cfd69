#!/usr/bin/env bash
# Everything that CI runs.
#
#   scripts/test.sh           packages, all builds, all tests, sanitizers, the whole trip on real images
#   scripts/test.sh --quick   the tests of build/release alone (builds them if need be)
#
# A test that is skipped and does not stand in tests/allowed_skips.txt fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=no
for argument in "$@"; do
  case "$argument" in
    --quick) quick=yes ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option $argument; see scripts/test.sh --help" >&2; exit 2 ;;
  esac
done

started=$SECONDS
step() { printf '\n== %s (%d s so far)\n' "$*" $((SECONDS - started)) >&2; }
logs=build/test-logs
mkdir -p $logs

# run_tests BUILD_DIR NAME [ctest options]: all tests of a build, then a look at what was skipped. GTEST_FILTER chooses
# where ctest knows tests by the binary.
run_tests() {
  local directory=$1 log="$logs/$2.log"
  shift 2
  ctest --test-dir "$directory" --output-on-failure -j 2 "$@" | tee "$log" | grep -vE '^ +Start|Test +#[0-9]+: .* Passed' || true
  grep -q '^100% tests passed' "$log" || { echo "test.sh: tests failed in $directory, see $log" >&2; exit 1; }
  local said="$directory/Testing/Temporary/LastTest.log" skipped ran
  skipped=$(sed -n 's/^\[  SKIPPED \] \(\S*\.\S*\).*/\1/p' "$said" | sort -u | grep -vxFf tests/allowed_skips.txt || true)
  [ -z "$skipped" ] || { echo "test.sh: skipped without leave: $skipped" >&2; exit 1; }
  ran=$(grep -c '^\[ RUN      \]' "$said" || true)
  [ "$ran" -gt 0 ] || { echo "test.sh: no test of $directory ran" >&2; exit 1; }
  echo "$ran tests ran" >&2
}

if [ "$quick" = yes ]; then
  cmake --preset release > /dev/null
  cmake --build --preset release
  run_tests build/release quick
  exit 0
fi

step "Packages"
scripts/setup.sh
scripts/get_postgres.sh

step "Release build, warnings are errors"
cmake --preset ci
cmake --build --preset ci
step "Tests"
run_tests build/release release
tests/scripts/scripts_test.sh

step "Training, export and seam on Fashion-MNIST"
fashion=/usr/share/datasets/fashion-mnist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/release/bin/rotor-train fit configs/fashion-mlp.yaml --set output_dir="$work/run" --set train.epochs=4
build/release/bin/rotor-export "$work/run/checkpoint" "$work/fashion.rotor" 2>&1 | tee "$work/exported"
awk 'match($0, /\(1\/[0-9.]+\)/) { exit !(substr($0, RSTART + 3, RLENGTH - 4) >= 15) }' <(tail -1 "$work/exported") ||
  { echo "test.sh: the packed weights take more than 1/15 of the float32 ones" >&2; exit 1; }
build/release/bin/rotor verify "$work/fashion.rotor"
build/release/bin/seam-check "$work/run/checkpoint" "$work/fashion.rotor" --data $fashion
for kernels in scalar ""; do
  accuracy=$(ROTOR_KERNELS=$kernels build/release/bin/rotor classify "$work/fashion.rotor" --data $fashion --json |
    sed -n 's/^ *"accuracy": \([0-9.]*\).*/\1/p')
  echo "accuracy $accuracy after 4 epochs (kernels: ${kernels:-fastest})" >&2
  awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.85) }' || { echo "test.sh: expected at least 0.85" >&2; exit 1; }
done

step "A language model, from prose to text"
datasets/kjv.sh "$work/kjv.txt"
build/release/bin/rotor-train fit configs/quickstart.yaml --set output_dir="$work/lm" --set data.path="$work/kjv.txt" \
  --set train.steps=60 --set eval.every=60 --set eval.windows=50
build/release/bin/rotor-train plot "$work/lm" --out "$work/lm/plot.html"
build/release/bin/rotor-export "$work/lm/checkpoint" "$work/lm.rotor"
build/release/bin/rotor verify "$work/lm.rotor"
build/release/bin/seam-check "$work/lm/checkpoint" "$work/lm.rotor" --text "$work/kjv.txt"
build/release/bin/rotor run "$work/lm.rotor" -p "And the LORD" -n 50 --echo --seed 1
head -c 20000 "$work/kjv.txt" > "$work/start.txt"
build/release/bin/rotor perplexity "$work/lm.rotor" --file "$work/start.txt" --json

step "Many clients of a server, and bad ones"
tests/scripts/soak_test.sh build/release/bin/rotor build/release/bin/server_load "$work/lm.rotor" 5000

step "Micro-benchmarks run"
build/release/bin/rotor_bench --benchmark_min_time=0.01 > $logs/bench.log 2>&1

step "Runtime alone, as on a machine without LibTorch"
cmake --preset runtime-only -DROTOR_WERROR=ON > /dev/null
cmake --build --preset runtime-only
build/runtime-only/bin/rotor classify "$work/fashion.rotor" --data $fashion --limit 1000
build/runtime-only/bin/rotor run "$work/lm.rotor" -p "And the LORD" -n 50 --echo --seed 1
tests/scripts/package_test.sh build/runtime-only

step "64-bit ARM, in an emulator"
scripts/aarch64_sysroot.sh
cmake --preset aarch64 > /dev/null
cmake --build --preset aarch64 --target rotor runtime_tests
run_tests build/aarch64 aarch64 -R '^(Kernels|ThreadPool|Backends/|Variants/|.*TransformerTest|BatcherTest.EachText)' -E '/(opencl|vulkan)'  # no drivers there
qemu-aarch64 -L build/aarch64-sysroot build/aarch64/bin/rotor devices
say=(run "$work/lm.rotor" -p "And the LORD" -n 20 --temp 0)
build/release/bin/rotor "${say[@]}" > "$work/said"
qemu-aarch64 -L build/aarch64-sysroot build/aarch64/bin/rotor "${say[@]}" > "$work/said-by-arm"
cmp "$work/said" "$work/said-by-arm" || { echo "test.sh: the ARM program says something else" >&2; exit 1; }
# A knowledge base made there finds what one made here finds: by words the same passages, by vectors any.
find_by() { "${@:3}" rag search "$work/$1.db" "which sources an answer names" --mode "$2" --json | jq -ce '.results[] | [.document, .heading, .text]'; }
on_arm=(qemu-aarch64 -L build/aarch64-sysroot build/aarch64/bin/rotor)
build/release/bin/rotor rag add "$work/here.db" docs/chat.md --embedder "$work/lm.rotor"
"${on_arm[@]}" rag add "$work/arm.db" docs/chat.md --embedder "$work/lm.rotor"
find_by here words build/release/bin/rotor > "$work/found"
find_by arm words "${on_arm[@]}" > "$work/found-by-arm"
cmp "$work/found" "$work/found-by-arm" || { echo "test.sh: the ARM program finds something else" >&2; exit 1; }
find_by arm vectors "${on_arm[@]}" > /dev/null

step "Fuzzing, 10 s a reader"
scripts/fuzz.sh 10

step "AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset asan > /dev/null
cmake --build --preset asan
run_tests build/asan asan

step "ThreadSanitizer"
cmake --preset tsan > /dev/null
cmake --build --preset tsan --target rotor server_load thread_tests
filter='ClassifierTest*:MappedFile*:Kernels*:ThreadPool*:*TransformerTest.BatchesAndThreads*:BatcherTest*:ApiOnBatcher*:HttpServerTest*'
GTEST_FILTER=$filter run_tests build/tsan tsan -R '^thread_tests'
TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp" tests/scripts/soak_test.sh build/tsan/bin/rotor build/tsan/bin/server_load "$work/lm.rotor" 300 --clients 16

step "All passed"
