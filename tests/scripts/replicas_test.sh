#!/usr/bin/env bash
# Two replicas of rotor serve behind nginx and behind HAProxy, as packaging/nginx.conf and packaging/haproxy.cfg
# have them (with other ports): both are used, a client stays with one, one that dies is left out, and what is
# streamed arrives bit by bit. Needs no root; everything runs on loopback ports and ends with the test.
#
#   tests/scripts/replicas_test.sh ROTOR MODEL
#
set -euo pipefail
packaging=$(cd "$(dirname "$0")/../../packaging" && pwd)
rotor=$1
model=$2
PATH=$PATH:/usr/sbin  # where Debian keeps both proxies

work=$(mktemp -d)
started=()
finish() {
  local pid
  for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT
fail() {
  echo "replicas_test.sh: $*" >&2
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}
checks=0
check() {  # check WHAT EXPECTED FOUND
  [ "$2" = "$3" ] || fail "$1: expected \"$2\", found \"$3\""
  checks=$((checks + 1))
}
# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# start_replica NAME: a server on a free port; its process in ${NAME}_pid, its port in ${NAME}_port
start_replica() {
  local name=$1 port=${2:-0}
  : > "$work/$name.log"  # here, not only when the process begins: what an earlier one said is not to be found
  "$rotor" serve "$model" --port "$port" --alias "$name" -t 1 --ctx-size 8192 --parallel 2 --allow-host rotor.test \
    2> "$work/$name.log" &
  started+=($!)
  printf -v "${name}_pid" %s $!
  until_true 60 grep -qE ' ready |^rotor: ' "$work/$name.log" || fail "$name did not start"
  grep -q '^rotor: ' "$work/$name.log" && fail "$name did not start"
  printf -v "${name}_port" %s "$(sed -n 's/.*listening at=.*:\([0-9]*\)"*$/\1/p' "$work/$name.log" | tail -1)"
}

# A port that was free a moment ago.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 20000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || break
  done
  echo $port
}

# replica_of PORT CLIENT: which replica answers that client, by the name of its model
replica_of() {
  curl -s --max-time 20 -H "Authorization: Bearer $2" -H 'Host: rotor.test' "http://127.0.0.1:$1/v1/models" |
    jq -r '.data[0].id' 2> /dev/null
}

behind() {  # behind PROXY PORT: the same for both
  local proxy=$1 port=$2 client seen first again asking
  until_true 20 curl -sf "http://127.0.0.1:$port/health" || fail "$proxy does not answer"
  : > "$work/seen"
  for client in $(seq 1 24); do
    first=$(replica_of "$port" "client-$client")
    again=$(replica_of "$port" "client-$client")$(replica_of "$port" "client-$client")
    check "$proxy: client $client stays" "$first$first" "$again"
    echo "$first $client" >> "$work/seen"
  done
  seen=$(cut -d' ' -f1 "$work/seen" | sort -u | tr '\n' ' ')
  check "$proxy: replicas that are used" "one two " "$seen"
  check "$proxy: metrics are each replica's own" 404 \
    "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/metrics")"

  stream "$proxy" "$port"

  # One dies without a word, at work. What it was asked, which may be why, is not what the other is asked next.
  client=$(sed -n 's/^one //p' "$work/seen" | head -1)
  curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer client-$client" -H 'Content-Type: application/json' \
    -H 'Host: rotor.test' -d "$(chat_body false)" "http://127.0.0.1:$port/v1/chat/completions" > "$work/status" &
  asking=$!
  until_true 20 texts_running "$one_port" || fail "$proxy: the chat does not begin"
  kill -KILL "$one_pid"
  wait "$one_pid" 2> /dev/null || true
  wait $asking || true
  check "$proxy: a POST whose replica dies" 502 "$(cat "$work/status")"
  # Its clients go to the other, and the other's clients stay.
  while read -r first client; do
    check "$proxy: client $client after a death" two "$(replica_of "$port" "client-$client")"
  done < "$work/seen"
  # It comes back, and so do they.
  start_replica one "$one_port"
  client=$(sed -n 's/^one //p' "$work/seen" | head -1)
  returned() { [ "$(replica_of "$port" "client-$client")" = one ]; }
  until_true 30 returned || fail "$proxy: the replica that came back is not used"
  echo "replicas_test.sh: $proxy: both used, clients stay, a dead replica is left out" >&2
}

texts_running() { curl -s --max-time 20 "http://127.0.0.1:$1/metrics" | grep -q '^rotor_texts_running [1-9]'; }

# chat_body STREAM: a chat that takes a while
chat_body() {
  echo '{"messages": [{"role": "user", "content": "a"}], "stream": '"$1"', "max_tokens": 6000, "temperature": 1, "ignore_eos": true}'
}

# Pieces of a streamed answer must arrive one after another, not together at the end.
stream() {
  local proxy=$1 port=$2 status
  status=$(curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -H 'Host: rotor.test' \
    -d "$(chat_body false)" "http://127.0.0.1:$port/v1/chat/completions")
  check "$proxy: a chat" 200 "$status"
  # Times at which lines come, in microseconds.
  echo "${EPOCHREALTIME/[.,]/} start" > "$work/times"
  curl -sN -H 'Content-Type: application/json' -H 'Host: rotor.test' -d "$(chat_body true)" \
    "http://127.0.0.1:$port/v1/chat/completions" |
    while read -r line; do [ -z "$line" ] || echo "${EPOCHREALTIME/[.,]/} ${line:0:12}"; done >> "$work/times"
  check "$proxy: the stream's end" "data: [DONE]" "$(tail -1 "$work/times" | cut -d' ' -f2-)"
  # From a buffer, all of them would come when the answer is over.
  awk 'NR == 1 { start = $1 } NR == 2 { first = $1 } { last = $1 } END { exit !(NR > 10 && last - first > first - start) }' \
    "$work/times" || { head -30 "$work/times" >&2; fail "$proxy: what is streamed arrives in one piece"; }
  checks=$((checks + 1))
  echo "replicas_test.sh: $proxy: $(wc -l < "$work/times") pieces arrived one after another" >&2
}

start_replica one
start_replica two

port=$(free_port)
mkdir -p "$work/nginx"
{
  echo "pid $work/nginx/pid; error_log $work/nginx.log; daemon off; worker_processes 1; events {}"
  echo "http { access_log off;"
  for folder in client_body proxy fastcgi uwsgi scgi; do echo "${folder}_temp_path $work/nginx/$folder;"; done
  sed -e "s/127.0.0.1:8081/127.0.0.1:$one_port/; s/127.0.0.1:8082/127.0.0.1:$two_port/; s/listen 8080/listen 127.0.0.1:$port/" \
    "$packaging/nginx.conf"
  echo "}"
} > "$work/nginx.conf"
nginx -e "$work/nginx.log" -c "$work/nginx.conf" -p "$work/nginx" -t 2> "$work/nginx-check.log" || fail "nginx refuses its configuration"
nginx -e "$work/nginx.log" -c "$work/nginx.conf" -p "$work/nginx" &
started+=($!)
behind nginx "$port"

port=$(free_port)
sed -e "s/127.0.0.1:8081/127.0.0.1:$one_port/; s/127.0.0.1:8082/127.0.0.1:$two_port/; s/bind :8080/bind 127.0.0.1:$port/" \
  "$packaging/haproxy.cfg" > "$work/haproxy.cfg"
haproxy -c -f "$work/haproxy.cfg" > "$work/haproxy-check.log" 2>&1 || fail "HAProxy refuses its configuration"
haproxy -db -f "$work/haproxy.cfg" > "$work/haproxy.log" 2>&1 &
started+=($!)
behind HAProxy "$port"

# Asked to stop, a replica ends by itself, and well.
kill -TERM "$two_pid"
status=0
wait "$two_pid" || status=$?
check "exit status after SIGTERM" 0 $status
echo "replicas_test.sh: $checks checks passed" >&2
