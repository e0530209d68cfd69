#!/usr/bin/env bash
# Downloads a model from a Hugging Face hub into a directory that rotor-export reads: weights, configuration, tokenizer.
# A run that is interrupted goes on where it stopped; every file is held against the hub's checksum before it gets its name.
#
#   scripts/download_bitnet.sh 2b4t                 BitNet b1.58 2B4T, packed weights, into models/bitnet-b1.58-2B-4T
#   scripts/download_bitnet.sh bf16 DIR             its bf16 master weights, into DIR
#   scripts/download_bitnet.sh gguf                 the same as GGUF
#   scripts/download_bitnet.sh tiiuae/Falcon-E-1B-Instruct --revision prequantized     any OWNER/NAME
#   scripts/download_bitnet.sh 2b4t --list          what would be fetched, and how large it is
#
#   --revision REV   a branch, tag or commit (default main)
#   --only GLOB      of several weight files, those whose name matches, as '*Q8_0.gguf'
#   --all            every file of the repository, also what rotor does not read
#   --tries N        how often to try in a row without a new byte (default 5)
#
#   HF_ENDPOINT                another hub, or a mirror (default https://huggingface.co)
#   HF_TOKEN                   an access token, for repositories that are gated or private
#   HF_HUB_DOWNLOAD_TIMEOUT    seconds of silence after which a connection is given up (default 30)
set -euo pipefail

say() { echo "download_bitnet.sh: $1" >&2; }
die() { say "$1"; exit "${2:-1}"; }
usage() { die "$1; see scripts/download_bitnet.sh --help" 2; }

command_line=$(printf ' %q' "$0" "$@")
repository='' target='' revision=main only='*' all=false list=no tries=5
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --revision | --only | --tries)
      [ $# -gt 1 ] || usage "$1: expected a value"
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    --all) all=true; shift ;;
    --list) list=yes; shift ;;
    -*) usage "unknown option $1" ;;
    *) if [ -z "$repository" ]; then repository=$1; elif [ -z "$target" ]; then target=$1; else usage "unexpected $1"; fi; shift ;;
  esac
done
case "$repository" in
  2b4t) repository=microsoft/bitnet-b1.58-2B-4T ;;
  bf16) repository=microsoft/bitnet-b1.58-2B-4T-bf16 ;;
  gguf) repository=microsoft/bitnet-b1.58-2B-4T-gguf ;;
esac
name_pattern='[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?'
[[ $repository =~ ^$name_pattern/$name_pattern$ ]] || usage "expected 2b4t, bf16, gguf or OWNER/NAME, found \"$repository\""
[[ $tries =~ ^[1-9][0-9]*$ ]] || usage "--tries: expected a number of 1 or more, found \"$tries\""
target=${target:-models/${repository#*/}}
endpoint=${HF_ENDPOINT:-https://huggingface.co}
endpoint=${endpoint%/}
silence=${HF_HUB_DOWNLOAD_TIMEOUT:-30}
[[ $silence =~ ^[1-9][0-9]*$ ]] || die "HF_HUB_DOWNLOAD_TIMEOUT: expected a number of seconds, found \"$silence\""
[[ $endpoint =~ ^https?://[^/] ]] || die "HF_ENDPOINT: expected an address with http:// or https://, found \"$endpoint\""
for tool in curl jq; do command -v $tool > /dev/null || die "needs $tool, which scripts/setup.sh installs"; done

work=$(mktemp -d)
clean_up() {
  local running
  running=$(jobs -p)
  [ -z "$running" ] || { kill "$running" && wait; } 2> /dev/null || true
  rm -rf "$work"
}
interrupted() {
  [ ! -t 2 ] || echo >&2 # the progress bar leaves the cursor behind it
  say "interrupted; the same command goes on where it stopped:$command_line"
  exit "$1"
}
trap clean_up EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

human() { # BYTES
  awk -v n="$1" 'BEGIN { split("B kB MB GB TB PB", unit); for (u = 1; n >= 999.5 && u < 6; ++u) n /= 1000; printf(u == 1 ? "%d %s" : "%.3g %s", n, unit[u]) }'
}
size_of() { if [ -e "$1" ]; then stat -c %s -- "$1"; else echo 0; fi; }

# The token goes by a file, since everyone on the machine sees a command line; curl keeps it from hosts it is redirected to.
printf '%s' "${HF_TOKEN:+Authorization: Bearer ${HF_TOKEN//[[:space:]]/}}" > "$work/token"
meter=--no-progress-meter
[ ! -t 2 ] || meter=--progress-bar

# request URL BYTES [curl options]: curl's exit status; the HTTP status and the hub's word for an error are left in $status
# and $reason. curl runs beside the shell, which can then be interrupted at once, and writes no file longer than BYTES and
# a kilobyte: what a server sends beyond what it announced must not fill the disk.
request() {
  local url=$1 bytes=$2 code=0
  shift 2
  : > "$work/headers"
  (
    trap '' XFSZ
    ulimit -Sf $((bytes / 1024 + 1)) || true
    exec curl --globoff --location --proto =http,https --fail --header "@$work/token" --dump-header "$work/headers" \
      --connect-timeout 20 --speed-limit 1 --speed-time "$silence" --write-out '%{http_code}' "$@" "$url" > "$work/status"
  ) &
  wait $! || code=$?
  status=$(cat "$work/status")
  reason=$(sed -n 's/^[Xx]-[Ee]rror-[Cc]ode: *\([A-Za-z]*\).*/\1/p' "$work/headers" | tail -1)
  return $code
}

# What an HTTP status that trying again does not change means for whoever typed the command.
refused() { # FILE, or nothing for the listing
  local page="$endpoint/$repository"
  local licence="if it is gated, accept its licence at $page, and set HF_TOKEN to an access token of that account"
  case "$status $reason" in
    "401 "*) [ -z "${HF_TOKEN:-}" ] || die "$repository: the hub does not accept HF_TOKEN (HTTP 401): is it still valid?"
      [ "$reason" != GatedRepo ] || die "$repository is gated (HTTP 401): accept its licence at $page, and set HF_TOKEN to an access token of that account"
      die "$repository: no such repository, or not for everyone (HTTP 401): check the name; $licence" ;;
    "403 "*) die "$repository: no access (HTTP 403): $licence" ;;
    "404 RevisionNotFound") die "$repository has no revision \"$revision\" (HTTP 404)" ;;
    "404 "*) die "$repository${1:+/$1}: not found at $endpoint (HTTP 404): check the name" ;;
    *) die "$repository${1:+/$1}: the hub answered HTTP $status" ;;
  esac
}

uri() { jq -rn --arg text "$1" '$text | @uri'; }
if ! request "$endpoint/api/models/$repository/revision/$(uri "$revision")?blobs=true" 100000000 \
    --silent --show-error --retry 3 --output "$work/listing" 2> "$work/said"; then
  case $status in 4?? | 5??) refused ;; esac
  die "cannot reach $endpoint ($(tail -1 "$work/said")): is there a network? HF_ENDPOINT names another hub or a mirror"
fi

# Names come from outside and become paths: nothing absolute, no way upwards, nothing that a terminal would obey.
safe='def safe: type == "string" and . != "" and all(explode[]; . >= 32 and (. < 127 or . > 159))
  and all(split("/")[]; . != "" and . != "." and . != "..");'
commit=$(jq -er 'select(.siblings | type == "array" and all(.[]; type == "object" and (.lfs // {} | type == "object"))).sha
  | select(test("\\A[0-9a-f]{40}\\z"))' "$work/listing" 2> /dev/null) ||
  die "$endpoint does not answer as a hub does: HF_ENDPOINT should be the address of one"
unsafe=$(jq --ascii-output "$safe"' first(.siblings[].rfilename | select(safe | not))' "$work/listing")
[ -z "$unsafe" ] || die "$repository: the hub lists a file whose name is not safe: $unsafe; nothing was fetched"

# What rotor reads, from the top folder; weights are safetensors files, or GGUF where there are none. Small files come first.
# A tab parts the fields: what could hold one has been refused above, or becomes "none" here.
jq -r --argjson all $all '
  def weights: test("^[^/]+\\.(safetensors|gguf)$");
  def beside: test("^((generation_)?config|special_tokens_map|added_tokens)\\.json$|^(tokenizer|chat_template|LICENSE|README)[^/]*$|^[^/]+\\.safetensors\\.index\\.json$");
  def size: if type == "number" and . >= 0 and . < 1e15 and . == floor then . else "none" end;
  def sum: if type == "string" and test("\\A([0-9a-f]{40}|[0-9a-f]{64})\\z") then . else "none" end;
  (if any(.siblings[].rfilename; test("^[^/]+\\.safetensors$")) then ".safetensors" else ".gguf" end) as $kind
  | .siblings | map(.rfilename as $name | select($all or ($name | beside or (weights and endswith($kind))))) | sort_by(.size)[]
  | [(.size | size), (if .lfs then .lfs.sha256 // .lfs.oid else .blobId end | sum),
     (.rfilename | split("/") | map(@uri) | join("/")), (.rfilename | weights), .rfilename]
  | map(tostring) | join("\t")' "$work/listing" > "$work/files"
sizes=() sums=() paths=() names=() weights=()
while IFS=$'\t' read -r size sum path is_weights name; do
  # shellcheck disable=SC2053  # a glob on purpose
  [ "$is_weights" = false ] || [[ $name == $only ]] || continue
  if [ "$size" = none ] || [ "$sum" = none ]; then die "$repository/$name: the hub names no size and checksum for it"; fi
  [[ $name != *.part ]] || die "$repository/$name: ends as the files do that are still to come; --all cannot fetch it"
  sizes+=("$size") sums+=("$sum") paths+=("$path") names+=("$name")
  [ "$is_weights" = false ] || weights+=("$name")
done < "$work/files"
[ $all = true ] || [ ${#weights[@]} -gt 0 ] ||
  die "$repository: no *.safetensors and no *.gguf that fit \"$only\" at revision $revision; --all --list shows what it has"

total=0
for size in "${sizes[@]}"; do total=$((total + size)); done
say "$repository at commit $commit: $(human $total), files: ${#names[@]}"
if [ $list = yes ]; then
  for i in "${!names[@]}"; do printf '%10s  %s\n' "$(human "${sizes[i]}")" "${names[i]}"; done
  exit 0
fi

mkdir -p -- "$target"
exec {lock}< "$target"
flock --nonblock "$lock" || die "$target: another download is at work there"

# A file in git is known by the hash of a git blob, a large one (LFS) by its SHA-256.
sum_of() { # FILE EXPECTED
  if [ ${#2} = 64 ]; then sha256sum < "$1"; else { printf 'blob %s\0' "$(size_of "$1")"; cat -- "$1"; } | sha1sum; fi | cut -d ' ' -f 1
}
is_right() { [ "$(size_of "$1")" = "$2" ] && [ -f "$1" ] && [ "$(sum_of "$1" "$3")" = "$3" ]; } # FILE SIZE SUM

[ -z "$(ls -A -- "$target")" ] || say "checking what $target has already"
missing=() needed=0
for i in "${!names[@]}"; do
  file=$target/${names[i]}
  if is_right "$file" "${sizes[i]}" "${sums[i]}"; then continue; fi
  [ ! -e "$file" ] || say "$file is not the hub's file; it is replaced when that has come"
  missing+=("$i")
  needed=$((needed + sizes[i]))
  begun=$(size_of "$file.part")
  [ "$begun" -gt "${sizes[i]}" ] || needed=$((needed - begun))
done
free=$(df --output=avail -B1 -- "$target" | tail -1)
[ "$needed" -le "$free" ] ||
  die "$target: $(human $needed) are still to come and $(human "$free") are free there; nothing was fetched"

# Appends to PART until it is SIZE bytes long, or ends where the server says that the file does.
fetch() { # PART URL SIZE NAME
  local furthest idle=0 code now
  furthest=$(size_of "$1")
  while [ "$(size_of "$1")" -lt "$3" ]; do
    code=0
    request "$2" "$3" "$meter" --continue-at - --output "$1" || code=$?
    now=$(size_of "$1")
    case $code in
      0) return ;;
      22) case $status in 408 | 429 | 5??) ;; *) refused "$4" ;; esac ;;
      23) [ "$now" -ge "$3" ] || die "$1: cannot be written ($(human "$(df --output=avail -B1 -- "$target" | tail -1)") free)" ;;
      33) say "$4: the server cannot go on in the middle of a file; starting over"; : > "$1"; now=0 ;;
    esac
    if [ "$now" -gt "$furthest" ]; then furthest=$now idle=0; else idle=$((idle + 1)); fi
    [ $idle -lt "$tries" ] ||
      die "$4: $tries tries in a row brought nothing new ($(human "$now") of $(human "$3")); the same command goes on there:$command_line"
    say "$4: $(human "$now") of $(human "$3") are there; asking for the rest"
    sleep $((1 << (idle < 6 ? idle : 6)))
  done
}

number=0
for i in ${missing[@]+"${missing[@]}"}; do
  name=${names[i]} size=${sizes[i]} sum=${sums[i]}
  file=$target/$name part=$target/$name.part
  number=$((number + 1))
  mkdir -p -- "$(dirname -- "$file")"
  for try in first second; do
    : >> "$part"
    begun=$(size_of "$part")
    say "$number/${#missing[@]} $name, $(human "$size")$([ "$begun" = 0 ] || echo ", from $(human "$begun") on")"
    fetch "$part" "$endpoint/$repository/resolve/$commit/${paths[i]}" "$size" "$name"
    if is_right "$part" "$size" "$sum"; then break; fi
    found="$(size_of "$part") bytes, $(sum_of "$part" "$sum")"
    rm -f -- "$part"
    [ $try = first ] || die "$name: expected $size bytes, $sum; found twice what is something else, now $found; nothing of it was kept"
    say "$name: what came is not the hub's file (expected $size bytes, $sum; found $found); fetching it anew"
  done
  sync -- "$part"
  mv -fT -- "$part" "$file"
done

say "$target is complete: every file has the hub's checksum"
case ${weights[0]-} in
  *.gguf) source=$target/${weights[0]} ;;
  *) source=$target ;;
esac
say "next: build/release/bin/rotor-export $(printf %q "$source") model.rotor"
