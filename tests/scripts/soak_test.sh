#!/usr/bin/env bash
# Many clients of one server, of which some hang up, read slowly or send rubbish: tests/load/soak.h.
#
#   tests/scripts/soak_test.sh ROTOR SERVER_LOAD MODEL REQUESTS [flags of server_load]
set -euo pipefail
rotor=$1 load=$2 model=$3 requests=$4
shift 4

work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill -KILL "$server" 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

"$rotor" serve "$model" --port 0 2> "$work/log" &
server=$!
for _ in $(seq 600); do
  grep -q ' ready ' "$work/log" && break
  kill -0 "$server" 2> /dev/null || break
  sleep 0.1
done
port=$(sed -n 's/.*at=http:.*:\([0-9]*\)$/\1/p' "$work/log")
[ -n "$port" ] || { cat "$work/log" >&2; echo "soak_test.sh: the server does not listen" >&2; exit 1; }

if ! "$load" --port "$port" --soak "$requests" --pid "$server" "$@" > "$work/result" 2> /dev/null; then
  cat "$work/result" >&2
  grep -vE ' info ' "$work/log" | tail -40 >&2
  echo "soak_test.sh: some answers were wrong" >&2
  exit 1
fi
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
if [ "$status" != 0 ] || grep -qE ' error |ERROR: |WARNING: ThreadSanitizer' "$work/log"; then
  grep -vE ' info ' "$work/log" | tail -60 >&2
  echo "soak_test.sh: the server ended with status $status" >&2
  exit 1
fi
jq -c '{requests, seconds, outcomes, memory_growth}' "$work/result" >&2
