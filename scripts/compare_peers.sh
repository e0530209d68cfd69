#!/usr/bin/env bash
# Holds rotor against other programs on the same machine at the same time: rounds of one run each in turn, medians, and
# ratios round by round, so that whatever else the machine does falls on all of them.
#
#   scripts/compare_peers.sh model.rotor --peer "llama.cpp=/opt/llama.cpp/llama-bench -m model-TQ2_0.gguf"
#   scripts/compare_peers.sh model.rotor -t 2 -p "128 512" -n 128 -r 7 \
#     --peer "ik_llama.cpp=/opt/ik_llama.cpp/llama-bench -m model-IQ2_BN.gguf -rtr 1" \
#     --peer "bitnet.cpp=/opt/BitNet/llama-bench -m model-I2_S.gguf"
#   ROTOR_KERNELS=avx2 scripts/compare_peers.sh model.rotor --peer ...
#
#   --peer "NAME=COMMAND"   a llama-bench with its model and flags; it gets -t, -p, -n, -r and -o json. May be repeated
#   --ours "NAME=FLAGS"     rotor bench with these flags; may be repeated (default: the whole head, and screened heads)
#   -t N, -p "N ...", -n "N ..."   threads, prompts and numbers of tokens to decode, each measured by itself; "" leaves out
#   -r N                    rounds (default 5)
#   --rotor PROGRAM         (default: build/release/bin/rotor)
set -euo pipefail

die() { echo "compare_peers.sh: $1" >&2; exit "${2:-1}"; }
model= threads=$(nproc) prompts="128 512" decodes=128 rounds=5 rotor=
peers=() ours=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --peer) peers+=("${2:?}"); shift 2 ;;
    --ours) ours+=("${2:?}"); shift 2 ;;
    -t) threads=${2:?}; shift 2 ;;
    -p) prompts=$2; shift 2 ;;
    -n) decodes=$2; shift 2 ;;
    -r) rounds=${2:?}; shift 2 ;;
    --rotor) rotor=${2:?}; shift 2 ;;
    -*) die "unknown option $1; see scripts/compare_peers.sh --help" 2 ;;
    *) model=$1; shift ;;
  esac
done
[ -n "$model" ] || die "expected a .rotor file; see scripts/compare_peers.sh --help" 2
[ -f "$model" ] || die "$model: no such file"
[ ${#peers[@]} -gt 0 ] || die "expected at least one --peer; see scripts/compare_peers.sh --help" 2
for entry in "${peers[@]}" ${ours[@]+"${ours[@]}"}; do
  case "$entry" in *=*) ;; *) die "expected NAME=COMMAND, found \"$entry\"" 2 ;; esac
done
[ -n "$rotor" ] || rotor=$(dirname "$0")/../build/release/bin/rotor
[ -x "$rotor" ] || die "$rotor: build it first (cmake --preset release && cmake --build --preset release), or give --rotor"
[ ${#ours[@]} -gt 0 ] || ours=("rotor, whole head=--head-screening off" "rotor, screened, greedy=--head-screening on --top-k 1" "rotor, screened, top 40=--head-screening on --top-k 40")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each prints tokens per second of one run, for a prompt of P or N decoded tokens.
run_ours() { # FLAGS P N
  local key=prompt_tokens_per_second
  [ "$3" = 0 ] || key=decode_tokens_per_second
  # shellcheck disable=SC2086  # flags are words
  "$rotor" bench "$model" -t "$threads" -p "$2" -n "$3" -r 1 --no-bandwidth --json $1 2> "$work/said" |
    sed -n "s/.*\"$key\": \([0-9.]*\).*/\1/p"
}
run_peer() { # COMMAND P N
  # shellcheck disable=SC2086
  $1 -t "$threads" -p "$2" -n "$3" -r 1 -o json 2> "$work/said" | sed -n 's/.*"avg_ts": *\([0-9.]*\).*/\1/p'
}
measure() { # TEST NAME FUNCTION COMMAND P N
  local value
  value=$("$3" "$4" "$5" "$6") || true
  [ -n "$value" ] || die "$2 ($1): no figure came; it said: $(tail -1 "$work/said")"
  printf '%s\t%s\t%s\n' "$1" "$2" "$value" >> "$work/figures"
}

for ((round = 1; round <= rounds; ++round)); do
  echo "round $round of $rounds" >&2
  for test in $(printf 'p%s ' $prompts) $(printf 'n%s ' $decodes); do
    size=${test#?}
    [ -n "$size" ] || continue
    case $test in p*) p=$size n=0 name="prompt $size" ;; *) p=0 n=$size name="decode $size" ;; esac
    for entry in "${ours[@]}"; do
      # What is screened matters when tokens are decoded: a prompt is measured once.
      [ "$n" != 0 ] || [ "$entry" = "${ours[0]}" ] || continue
      measure "$name" "${entry%%=*}" run_ours "${entry#*=}" "$p" "$n"
    done
    for entry in "${peers[@]}"; do measure "$name" "${entry%%=*}" run_peer "${entry#*=}" "$p" "$n"; done
  done
done

# Medians; beside each of ours, the median over rounds of its ratio to each peer, and half the quartile distance.
printf '%s\n' "${ours[@]%%=*}" > "$work/ours"
echo "$threads threads, medians of $rounds rounds in turn, +- half the distance between the quartiles"
awk -F '\t' '
  function sorted(list, count, out,   i, j, t) {
    for (i = 1; i <= count; ++i) out[i] = list[i]
    for (i = 2; i <= count; ++i) for (j = i; j > 1 && out[j - 1] > out[j]; --j) { t = out[j]; out[j] = out[j - 1]; out[j - 1] = t }
  }
  function summary(list, count, format,   o, middle, spread) {
    sorted(list, count, o)
    middle = o[int(count / 2) + 1]
    spread = (o[int(count * 3 / 4) + 1 > count ? count : int(count * 3 / 4) + 1] - o[int(count / 4) + 1]) / 2
    return sprintf(format, middle, 100 * spread / middle)
  }
  NR == FNR { is_ours[$1] = 1; next }
  { key = $1 FS $2; if (!(key in count)) { order[++keys] = key; if (!($1 in seen)) { seen[$1] = 1; tests[++test_count] = $1 } }
    value[key, ++count[key]] = $3 }
  END {
    for (t = 1; t <= test_count; ++t) {
      printf "\n%s tokens\n", tests[t]
      for (k = 1; k <= keys; ++k) {
        split(order[k], part, FS)
        if (part[1] != tests[t]) continue
        n = count[order[k]]
        for (i = 1; i <= n; ++i) list[i] = value[order[k], i]
        printf "  %-26s %s", part[2], summary(list, n, "%9.2f tokens/s +- %4.1f %%")
        if (part[2] in is_ours) for (j = 1; j <= keys; ++j) {
          split(order[j], other, FS)
          if (other[1] != tests[t] || (other[2] in is_ours)) continue
          for (i = 1; i <= n; ++i) list[i] = value[order[k], i] / value[order[j], i]
          printf "   %s x %s", summary(list, n, "%.2f (+- %.1f %%)"), other[2]
        }
        printf "\n"
      }
    }
  }' "$work/ours" "$work/figures"
