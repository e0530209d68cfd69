#!/usr/bin/env bash
# The shell scripts: they parse, they explain themselves, and a data set that is not the right one is refused.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
check() {
  local name=$1
  shift
  if "$@" > "$work/out" 2>&1; then echo "ok: $name"; else echo "FAILED: $name"; cat "$work/out"; failures=$((failures + 1)); fi
}
refused() { ! "$@"; }

for script in scripts/*.sh datasets/*.sh tests/scripts/*.sh .ci/run; do check "$script parses" bash -n "$script"; done
for script in scripts/*.sh datasets/*.sh; do
  check "$script --help" bash -c "$script --help | grep -q ."
  check "$script refuses unknown options" refused "$script" --no-such-option
done
check "setup.sh --list names LibTorch" bash -c 'scripts/setup.sh --list | grep -q libtorch-dev'
check "setup.sh --runtime-only --list does not" bash -c '! scripts/setup.sh --runtime-only --list | grep -q libtorch'

# A system without apt is told what is missing, that alone, and how it is called there.
mkdir "$work/bin"
for tool in bash awk sed cat env g++; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
check "setup.sh without apt" bash -c "! PATH=$work/bin scripts/setup.sh 2> $work/said && grep -q 'ninja-build .* ninja' $work/said"
check "setup.sh without apt does not name what is there" refused grep -q 'g++ ' "$work/said"
for tool in cmake ninja clang++ ccache git nm curl jq pkg-config protoc glslc bible aarch64-linux-gnu-g++ qemu-aarch64 mpirun gzip pdftotext openssl chromium chromedriver pip3; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
check "setup.sh without apt and nothing missing" env "PATH=$work/bin" scripts/setup.sh

# A mirror that serves something else: refused by its checksum, and nothing stays.
mkdir "$work/mirror"
for file in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
  echo "not MNIST" | gzip > "$work/mirror/$file-ubyte.gz"
done
export ROTOR_SHARED="$work/none" ROTOR_MNIST_MIRROR="file://$work/mirror"
check "mnist.sh refuses wrong files" bash -c "! datasets/mnist.sh $work/mnist 2> $work/said && grep -q 'checksum' $work/said"
check "mnist.sh leaves nothing behind" bash -c "[ -z \"\$(ls $work/mnist 2> /dev/null)\" ]"
ROTOR_MNIST_MIRROR="file://$work/nowhere"
check "mnist.sh says that a mirror fails" bash -c "! datasets/mnist.sh $work/mnist 2> $work/said && grep -q 'ROTOR_MNIST_MIRROR' $work/said"

check "shakespeare.sh refuses wrong text" bash -c "echo no > $work/no.txt; ! ROTOR_SHAKESPEARE_URL=file://$work/no.txt datasets/shakespeare.sh $work/s.txt 2> $work/said && grep -q SHA-256 $work/said"
check "kjv.sh extracts prose" bash -c "datasets/kjv.sh $work/kjv.txt && head -1 $work/kjv.txt | grep -q '^In the beginning'"

# A comparison with a peer that always gives the same figures, and with one that gives none.
printf '#!/bin/sh\necho "  \\"avg_ts\\": 2.5,"\n' > "$work/peer"
printf '#!/bin/sh\necho "no such model" >&2; exit 1\n' > "$work/broken"
printf '#!/bin/sh\necho "\\"prompt_tokens_per_second\\": 10.0, \\"other\\": 1"; echo "\\"decode_tokens_per_second\\": 5.0,"\n' > "$work/rotor"
chmod +x "$work/peer" "$work/broken" "$work/rotor"
compare=(scripts/compare_peers.sh VERSION --rotor "$work/rotor" -r 3 -t 1 -p 8 -n 4)
check "compare_peers.sh gives ratios" bash -c "\"\$@\" > $work/said && grep -q 'prompt 8' $work/said && grep -q '10.00 tokens/s .* 4.00 (+- 0.0 %) x a peer' $work/said && grep -q 'screened, greedy .* 2.00 (+- 0.0 %) x a peer' $work/said" - "${compare[@]}" --peer "a peer=$work/peer -m model.gguf"
check "compare_peers.sh says what a peer said" bash -c "! \"\$@\" 2> $work/said && grep -q 'broken (prompt 8).*no such model' $work/said" - "${compare[@]}" --peer "broken=$work/broken"
check "compare_peers.sh wants a peer" refused "${compare[@]}"

check "fuzz.sh refuses a target that is not there" refused scripts/fuzz.sh 1 no_such_target

echo "$failures failures"
[ "$failures" -eq 0 ]
