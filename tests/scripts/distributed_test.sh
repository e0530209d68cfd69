#!/usr/bin/env bash
# Ranks that die, hang, never come or are interrupted: real processes of rotor-train on this machine. The others must end in
# time, name the rank, and lose nothing. Open MPI's mpirun starts one of the runs. With torchrun in PATH (or TORCHRUN=...) a run
# is also started and restarted by it.
#
#   tests/scripts/distributed_test.sh build/release/bin/rotor-train
set -euo pipefail
rotor_train=$(realpath "${1:?expected the rotor-train program}")
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
unset RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT ROTOR_STORE_PORT
failures=0
check() {
  local name=$1
  shift
  if "$@"; then
    echo "ok: $name"
  else
    echo "FAILED: $name"
    tail -n 5 said-* || true
    failures=$((failures + 1))
  fi
}

awk 'BEGIN { srand(1); split("the king of a house went to sea and found gold under stone when night fell", w);
  for (i = 0; i < 20000; ++i) printf "%s%s", w[int(rand() * 16) + 1], i % 12 ? " " : "\n" }' > text
cat > config.yaml <<'YAML'
output_dir: run
threads: 1
model: {type: bitnet, quantization: none, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2}
tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}
data: {type: text, path: text, block_size: 16}
train: {steps: 400, batch_size: 8, schedule: constant, keep_checkpoints: 100}
eval: {every: 20, windows: 8}
log: {every: 20, tensorboard: false}
sample: {every: -1}
distributed: {timeout: 5}
YAML
endless=(--set train.steps=1000000)

free_port() { # one above which the next is free as well
  local port=$((20000 + RANDOM % 10000))
  while (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || (exec 3<> "/dev/tcp/127.0.0.1/$((port + 1))") 2> /dev/null; do
    port=$((port + 2))
  done
  echo "$port"
}

# start SIZE RANKS [ARGUMENT]...: ranks of a run of SIZE in the background, for the rest see finish
start() {
  local size=$1 ranks=$2 rank
  shift 2
  export MASTER_ADDR=127.0.0.1 MASTER_PORT=${port:-$(free_port)} WORLD_SIZE=$size
  pids=() started=$SECONDS
  rm -f said-*
  for rank in $ranks; do
    RANK=$rank "$rotor_train" fit config.yaml "$@" > "said-$rank" 2>&1 &
    pids+=($!)
  done
  unset MASTER_ADDR MASTER_PORT WORLD_SIZE
}
# finish: waits for all; their statuses in $statuses, the seconds that it took in $took
finish() {
  statuses='' from=$SECONDS
  local pid
  for pid in "${pids[@]}"; do
    local status=0
    wait "$pid" 2> /dev/null || status=$?
    statuses+="$status "
  done
  pids=() took=$((SECONDS - from))
}
# trained STEPS: waits until the run has a checkpoint
trained() { for _ in {1..1500}; do [ -e run/checkpoint ] && return || sleep 0.02; done; return 1; }
said() { grep -q "$2" "said-$1"; }
steps() { sed -n 's/^ *"step": \([0-9]*\).*/\1/p' run/checkpoint/trainer.json | tail -n 1; }
final_loss() { grep -h '"eval_loss"' run/metrics.jsonl | sed 's/.*"eval_loss":\([0-9.]*\).*/\1/' | tail -n 1; }
close() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a - b < 1e-4 && b - a < 1e-4) }'; }

"$rotor_train" fit config.yaml > said-0 2>&1
whole=$(final_loss)
check "one process trains" test -n "$whole"
rm -r run

start 3 "0 1 2" "${endless[@]}"
trained
kill -9 "${pids[2]}"
finish
check "a killed rank ends the others" test "$statuses" = "1 1 137 "
check "in time" test $took -le 15
check "with its name on rank 0" said 0 'rank 2 is gone'
check "with its name on rank 1" said 1 'rank 2 is gone'
check "leaving a whole checkpoint" test "$(($(steps) % 20))" = 0
check "and no other" test -z "$(ls run/checkpoints | grep tmp)"
rm -r run

start 2 "0 1"
trained
kill -9 "${pids[0]}"
finish
check "a killed rank 0 ends the others" test "$statuses" = "137 1 "
check "with its name" said 1 'rank 0 .* is gone'
start 3 "0 1 2" --resume
finish
check "a broken run goes on on more ranks" test "$statuses" = "0 0 0 "
check "and ends as an unbroken one" close "$(final_loss)" "$whole"
rm -r run

start 2 "0 1" "${endless[@]}"
trained
kill -STOP "${pids[1]}"
sleep 0.1
(sleep 20; kill -9 "${pids[1]}") 2> /dev/null &
helper=$!
wait "${pids[0]}" 2> /dev/null && status=0 || status=$?
kill -9 "${pids[1]}" "$helper" 2> /dev/null || true
finish
check "a rank that hangs is noticed" said 0 'rank 1 is gone: no sign of life for 5 s'
rm -r run

start 2 "0 1" "${endless[@]}"
trained
before=$(steps)
kill -TERM "${pids[1]}"
finish
check "an interrupt of one rank stops all" test "$statuses" = "130 130 "
check "with one checkpoint" said 0 'interrupted: checkpoint written'
check "of the step where it was" test "$(steps)" -gt "$before"
rm -r run

start 3 "0 1"
finish
check "a missing rank is named" said 0 'waited 5 s (distributed.timeout) for 3 ranks; missing: 2'
check "to all who came" said 1 'missing: 2'
start 2 "1"
finish
check "a missing rank 0 is named" said 1 'rank 0 is missing: nobody answered at 127.0.0.1:'
check "nothing was written" test ! -e run/checkpoint

port=$(free_port)
start 2 "0" && sleep 2
first=${pids[0]}
start 2 "0"
finish
check "a port in use is an error" said 0 "rank 0 cannot listen on port $port; is it in use"
kill -9 "$first" 2> /dev/null || true
unset port

rm -rf run
status=0
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 MASTER_PORT=$(free_port) mpirun --oversubscribe -n 2 "$rotor_train" fit config.yaml \
  > said-mpirun 2>&1 || status=$?
check "mpirun starts a run" test $status = 0
check "of two ranks" grep -q '2 ranks' said-mpirun
check "that ends as one process does" close "$(final_loss)" "$whole"

torchrun=${TORCHRUN:-$(command -v torchrun || true)}
if [ -n "$torchrun" ]; then
  rm -rf run
  port=$(free_port)
  # The first start of rank 1 is killed when the run has a checkpoint; torchrun starts all ranks again.
  cat > rank.sh <<RANK
#!/usr/bin/env bash
if [ "\$RANK" = 1 ] && [ "\$TORCHELASTIC_RESTART_COUNT" = 0 ]; then
  "$rotor_train" fit config.yaml --resume & pid=\$!
  for _ in {1..300}; do [ -e run/checkpoint ] && break || sleep 0.02; done
  kill -9 \$pid
  wait \$pid
  exit 9
fi
exec "$rotor_train" fit config.yaml --resume
RANK
  chmod +x rank.sh
  status=0
  "$torchrun" --no-python --nproc-per-node 2 --master-port "$port" --max-restarts 2 ./rank.sh > said-torchrun 2>&1 || status=$?
  check "torchrun starts a run, and again after a rank died" test $status = 0
  check "it was resumed" grep -q 'resuming .* at step' said-torchrun
  check "it ends as an unbroken one" close "$(final_loss)" "$whole"
else
  echo "torchrun is not installed: not tried"
fi

[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
echo "all checks passed"
