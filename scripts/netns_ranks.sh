#!/usr/bin/env bash
# Four ranks in four network namespaces, joined by a bridge, as if on four machines: they train, one of them is cut off the
# network and one is killed, the others say so, and the run resumed ends as one that nothing befell. Needs root and iproute2.
#
#   scripts/netns_ranks.sh [ROTOR_TRAIN]     default build/release/bin/rotor-train
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
rotor_train=$(realpath "${1:-$(dirname "$0")/../build/release/bin/rotor-train}")
[ -x "$rotor_train" ] || { echo "netns_ranks.sh: $rotor_train is not there; build it first" >&2; exit 1; }
command -v ip > /dev/null || { echo "netns_ranks.sh: cannot run here: no ip command (iproute2)" >&2; exit 77; }
[ "$(id -u)" = 0 ] || { echo "netns_ranks.sh: cannot run here: network namespaces need root" >&2; exit 77; }

ranks="0 1 2 3"
bridge=rotor$$
bridge=${bridge:0:12}
work=$(mktemp -d)
pids=()
clean_up() {
  kill -9 "${pids[@]}" 2> /dev/null || true
  for rank in $ranks; do ip netns del "$bridge-$rank" 2> /dev/null || true; done
  ip link del "$bridge" 2> /dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
ip link add "$bridge" type bridge 2> "$work/said" || {
  echo "netns_ranks.sh: cannot run here: no bridge ($(cat "$work/said"))" >&2
  exit 77
}
ip link set "$bridge" up
for rank in $ranks; do
  ip netns add "$bridge-$rank"
  ip link add "${bridge}v$rank" type veth peer name eth0 netns "$bridge-$rank"
  ip link set "${bridge}v$rank" master "$bridge" up
  ip -n "$bridge-$rank" link set lo up
  ip -n "$bridge-$rank" addr add "10.77.0.1$rank/24" dev eth0
  ip -n "$bridge-$rank" link set eth0 up
done

cd "$work"
awk 'BEGIN { srand(1); split("the king of a house went to sea and found gold under stone when night fell", w);
  for (i = 0; i < 40000; ++i) printf "%s%s", w[int(rand() * 16) + 1], i % 12 ? " " : "\n" }' > text
cat > config.yaml <<'YAML'
output_dir: run
threads: 1
model: {type: bitnet, quantization: none, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4}
tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}
data: {type: text, path: text, block_size: 32}
train: {steps: 200, batch_size: 16, learning_rate: 2.0e-3, warmup_steps: 10}
eval: {every: 20, windows: 16}
log: {every: 20, tensorboard: false}
sample: {every: -1}
distributed: {timeout: 10}
YAML

start() { # [ARGUMENT]...: all ranks
  pids=()
  for rank in $ranks; do
    MASTER_ADDR=10.77.0.10 MASTER_PORT=29500 WORLD_SIZE=4 RANK=$rank ip netns exec "$bridge-$rank" \
      "$rotor_train" fit config.yaml "$@" > "said-$rank" 2>&1 &
    pids+=($!)
  done
}
finish() { # prints statuses and last words; seconds in $took
  local from=$SECONDS rank
  for rank in $ranks; do
    local status=0
    wait "${pids[$rank]}" 2> /dev/null || status=$?
    echo "  rank $rank: status $status: $(tail -n 1 "said-$rank")"
  done
  took=$((SECONDS - from))
}
at_checkpoint() { for _ in {1..600}; do [ "$(readlink run/checkpoint)" = "checkpoints/step-$1" ] && return || sleep 0.05; done; return 1; }
final_loss() { sed -n 's/.*"eval_loss":\([0-9.]*\).*/\1/p' run/metrics.jsonl | tail -n 1; }

echo "unbroken:"
start
finish
whole=$(final_loss)
mv run whole

echo "rank 2 is killed after step 40:"
start
at_checkpoint 40
kill -9 "${pids[2]}"
finish
echo "  the others ended within $took s"
grep -q 'rank 2 is gone' said-0 said-1 || { echo "netns_ranks.sh: rank 2 was not named" >&2; exit 1; }

echo "resumed, and rank 3 loses its network after step 100:"
start --resume
at_checkpoint 100
ip link set "${bridge}v3" down
finish
echo "  all ended within $took s"
grep -q 'rank 3 is gone' said-0 || { echo "netns_ranks.sh: rank 3 was not named" >&2; exit 1; }
ip link set "${bridge}v3" up

echo "resumed:"
start --resume
finish
echo "final validation loss: unbroken $whole, broken twice $(final_loss)"
awk -v a="$whole" -v b="$(final_loss)" 'BEGIN { exit !(a != "" && a - b < 1e-4 && b - a < 1e-4) }'
