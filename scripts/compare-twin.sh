#!/usr/bin/env bash
# Trains a config's ternary network and its float twin with the same budget, over seeds and learning rates, and prints the
# test accuracy, or a language model's validation loss, at the end of training (last) and the best of any evaluation. Each
# ternary network is packed, and the packed one is held against it on all test images, or on the last 5,000 tokens.
#
#   scripts/compare-twin.sh configs/mnist-mlp.yaml
#   scripts/compare-twin.sh configs/shakespeare-char.yaml --rates "2e-3 4e-3"
#   scripts/compare-twin.sh configs/mnist-mlp.yaml --rates "2e-3 5e-3 1e-2" --seeds "1 2 3" --data /data/mnist
#   scripts/compare-twin.sh configs/mnist-mlp-sign.yaml --no-float
#
# Runs lie in runs/compare/; a run that is complete there is not trained again.
set -euo pipefail

config=
rates=
seeds="1 2 3"
data=
quantizations="ternary none"
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --rates) rates=${2:?}; shift 2 ;;
    --seeds) seeds=${2:?}; shift 2 ;;
    --data) data=$(realpath "${2:?}"); shift 2 ;;
    --no-float) quantizations=ternary; shift ;;
    -*) echo "compare-twin.sh: unknown option $1; see scripts/compare-twin.sh --help" >&2; exit 2 ;;
    *) config=$(realpath "$1"); shift ;;
  esac
done
[ -n "$config" ] || { echo "compare-twin.sh: expected a config; see scripts/compare-twin.sh --help" >&2; exit 2; }
cd "$(dirname "$0")/.."
bin=$PWD/build/release/bin
[ -x $bin/rotor-train ] || { echo "compare-twin.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }
[ -n "$rates" ] || rates=$(sed -n 's/^ *learning_rate: *\([^ ]*\).*/\1/p' "$config")
[ -n "$data" ] || data=$(sed -n 's/.*path: *\([^ ,}]*\).*/\1/p' "$config")
if grep -q 'type: *\(bitnet\|llama\)' "$config"; then metric=eval_loss; better=lower; source=--text; else metric=eval_accuracy; better=higher; source=--data; fi
base=runs/compare/$(basename "$config" .yaml)
mkdir -p "$base"

run_one() { # RATE SEED QUANTIZATION
  local run="$base/$3-$1-seed$2"
  $bin/rotor-train fit "$config" --resume --set output_dir="$run" --set data.path="$data" --set threads=1 --set seed="$2" \
    --set train.learning_rate="$1" --set model.quantization="$3" --set train.keep_checkpoints=0 > "$run.log" 2>&1 ||
    { echo "compare-twin.sh: $run failed: $(tail -1 "$run.log")" >&2; return 1; }
  echo "$run: $(tail -1 "$run.log")" >&2
}
export -f run_one
export base config data bin

for rate in $rates; do
  for seed in $seeds; do
    for quantization in $quantizations; do echo "$rate $seed $quantization"; done
  done
done | xargs -P "$(nproc)" -L 1 bash -c 'run_one "$@"' run_one

figures() { # RUN: last and best test accuracy in percent, or validation loss
  sed -n "s/.*\"$metric\":\([0-9.]*\).*/\1/p" "$1/metrics.jsonl" | awk -v better=$better '
    { last = $1; if (NR == 1 || (better == "lower" ? $1 < best : $1 > best)) best = $1 }
    END { if (better == "lower") printf "%.4f %.4f\n", last, best; else printf "%.2f %.2f\n", 100 * last, 100 * best }'
}

printf '%-10s %-8s %-5s %6s %6s   %s\n' "network" "rate" "seed" "last" "best" "packed against trained"
for quantization in $quantizations; do
  for rate in $rates; do
    for seed in $seeds; do
      run="$base/$quantization-$rate-seed$seed"
      read -r last best < <(figures "$run")
      seam=
      if [ $quantization = ternary ]; then
        $bin/rotor-export "$run/checkpoint" "$run/model.rotor" 2> /dev/null
        seam=$($bin/seam-check "$run/checkpoint" "$run/model.rotor" $source "$data" || true)
        if [ $source = --data ]; then seam=$(tail -1 <<< "$seam" | sed 's/^[0-9]* images: //; s/,.*//'); fi
      fi
      printf '%-10s %-8s %-5s %6s %6s   %s\n' "${quantization/none/float}" "$rate" "$seed" "$last" "$best" "$seam"
      echo "$last" >> "$base/.last.$$"
    done
    awk -v q="${quantization/none/float}" -v r="$rate" -v d=$([ $better = lower ] && echo 4 || echo 2) '{ s += $1 } END { printf "%-10s %-8s %-5s %6.*f\n", q, r, "mean", d, s / NR }' "$base/.last.$$"
    rm "$base/.last.$$"
  done
done
