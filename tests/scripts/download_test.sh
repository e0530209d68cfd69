#!/usr/bin/env bash
# scripts/download_bitnet.sh against a hub of our own on this machine (tests/support/hub_server.cpp): whole downloads, cuts,
# stalls, wrong bytes, hostile listings, refusals. What the server's log counts proves that a resume fetches only the rest.
#
#   tests/scripts/download_test.sh build/release/bin/hub-server
set -euo pipefail
server=$(realpath "${1:?expected the hub-server program}")
cd "$(dirname "$0")/../.."
script=$PWD/scripts/download_bitnet.sh
work=$(mktemp -d)
server_pid=''
trap '[ -z "$server_pid" ] || kill "$server_pid"; rm -rf "$work"' EXIT
unset HF_TOKEN HF_HUB_DOWNLOAD_TIMEOUT http_proxy https_proxy all_proxy HTTPS_PROXY ALL_PROXY
failures=0
check() {
  local name=$1
  shift
  if "$@" > "$work/out" 2>&1; then
    echo "ok: $name"
  else
    echo "FAILED: $name"
    cat "$work/out" "$work/said" 2> /dev/null || true
    failures=$((failures + 1))
  fi
}
refused() { ! "$@"; }

mkdir "$work/hub" "$work/hub/listings" "$work/hub/files" "$work/hub/gated"
"$server" "$work/hub" > "$work/log" 2> "$work/server-said" &
server_pid=$!
for _ in {1..100}; do grep -q '^listening' "$work/log" && break || sleep 0.1; done
hub=http://127.0.0.1:$(sed -n 's/^listening //p' "$work/log")
export HF_ENDPOINT=$hub
commit=0123456789abcdef0123456789abcdef01234567

# Repositories: files with random bytes, and the listing that the public hub would give of them, whose checksums come from
# git and coreutils.
put() { # REPOSITORY FILE BYTES
  mkdir -p "$(dirname "$work/hub/files/$1/$2")"
  head -c "$3" /dev/urandom > "$work/hub/files/$1/$2"
}
publish() { # REPOSITORY [jq filter on the listing]
  local folder=$work/hub/files/$1 listings=$work/hub/listings/$1 path entry
  mkdir -p "$listings"
  (cd "$folder" && find . -type f -printf '%P\n') | sort -r | while IFS= read -r path; do
    entry=$(jq -n --arg path "$path" --argjson size "$(stat -c %s "$folder/$path")" --arg id "$(git hash-object --no-filters "$folder/$path")" \
      '{rfilename: $path, size: $size, blobId: $id}')
    case $path in
      *.safetensors | *.gguf | *.bin)
        jq --arg sum "$(sha256sum < "$folder/$path" | cut -d ' ' -f 1)" '.lfs = {sha256: $sum, size, pointerSize: 135}' <<< "$entry" ;;
      *) echo "$entry" ;;
    esac
  done | jq -s --arg id "$1" --arg sha $commit '{id: $id, sha: $sha, gated: false, siblings: .}' | jq "${2:-.}" > "$listings/main.json"
  cp "$listings/main.json" "$listings/$commit.json"
}
put acme/tiny config.json 500
put acme/tiny tokenizer.json 70000
put acme/tiny chat_template.jinja 0
put acme/tiny README.md 90
put acme/tiny model.safetensors 3000000
put acme/tiny pytorch_model.bin 1000
put acme/tiny original/params.json 50
put acme/tiny 'original/odd #1 [100%]?.txt' 60
publish acme/tiny
weights=$work/hub/files/acme/tiny/model.safetensors

get() { "$script" "$@" > "$work/printed" 2> "$work/said"; }
says() { grep -qF -- "$1" "$work/said"; }
fault() { curl --silent --fail --data "$*" "$hub/fault"; }
mark() { marked=$(wc -l < "$work/log"); }
since() { tail -n "+$((marked + 1))" "$work/log"; }
sent() { # FILE: its bytes that left the server since the mark, once every answer has ended
  for _ in {1..100}; do
    [ "$(since | grep -c '^get /storage/')" -gt "$(since | grep -c '^sent ')" ] || break
    sleep 0.1
  done
  since | awk -v file="/$1" '$1 == "sent" && substr($3, length($3) - length(file) + 1) == file { bytes += $2 } END { print bytes + 0 }'
}
asked() { since | grep -c "^get $1" || true; }
complete() { # DIR: what rotor reads is there as the hub has it, and nothing half done
  local file
  for file in config.json tokenizer.json chat_template.jinja README.md model.safetensors; do
    cmp "$work/hub/files/acme/tiny/$file" "$1/$file" || return
  done
  [ -z "$(find "$1" -name '*.part')" ]
}
# begin DIR BYTES: a download of the small files and the first BYTES of the weights
begin() {
  mkdir -p "$1"
  cp "$work"/hub/files/acme/tiny/{config.json,tokenizer.json,chat_template.jinja,README.md} "$1"
  head -c "$2" "$weights" > "$1/model.safetensors.part"
}

mark
check "a whole model" get acme/tiny "$work/whole"
check "... is what the hub has" complete "$work/whole"
check "... without what rotor does not read" bash -c "[ \"\$(ls $work/whole | wc -l)\" = 5 ]"
check "... from the commit of the listing" [ "$(asked /acme/tiny/resolve/)" = "$(asked /acme/tiny/resolve/$commit/)" ]
check "... each file once, the empty one not at all" [ "$(asked /storage/)" = 4 ]
check "... with the next command" says "rotor-export $work/whole model.rotor"
mark
check "a second run" get acme/tiny "$work/whole"
check "... fetches nothing" [ "$(asked /acme/tiny/resolve/)" = 0 ]
mark
check "--list" get acme/tiny "$work/none" --list
check "... prints names and sizes" grep -qx ' *3 MB  model.safetensors' "$work/printed"
check "... of what would be fetched alone" [ "$(wc -l < "$work/printed")" = 5 ]
check "... and fetches nothing" bash -c "[ $(asked /acme/tiny/resolve/) = 0 ] && [ ! -e $work/none ]"
check "--all" get acme/tiny "$work/all" --all
check "... has every file, whatever its name" diff -r "$work/hub/files/acme/tiny" "$work/all"

# Connections that end too early.
mark
fault cut 1000000 model.safetensors
fault cut 500000 model.safetensors
check "a connection cut twice" get acme/tiny "$work/cut"
check "... ends complete" complete "$work/cut"
check "... and no byte came twice" [ "$(sent model.safetensors)" = 3000000 ]
mark
fault stall 1000000 model.safetensors
SECONDS=0
check "a server that falls silent" env HF_HUB_DOWNLOAD_TIMEOUT=2 bash -c "$script acme/tiny $work/stall 2> $work/said"
check "... is left long before it closes the connection" [ $SECONDS -lt 40 ]
check "... and asked for the rest" [ "$(asked '/storage/.* from=[1-9]')" = 1 ]
check "... which completes the model" complete "$work/stall"
check "a terminal sees progress" bash -c "script -qec '$script acme/tiny $work/terminal' /dev/null | grep -q '##.* 100[.,]0%'"
mark
fault status 503 model.safetensors
fault status 429 model.safetensors
check "a server that is busy is asked again" get acme/tiny "$work/busy"
check "... until the model is complete" complete "$work/busy"
begin "$work/given-up" 1000
fault cut 0 model.safetensors
check "a server that never goes on" refused get acme/tiny "$work/given-up" --tries 1
check "... is given up with the command that goes on" says "the same command goes on there: $script acme/tiny $work/given-up --tries 1"
check "... and what had come stays" cmp -n 1000 "$weights" "$work/given-up/model.safetensors.part"

# Interrupted: by Ctrl-C, which a terminal sends to all of the foreground (set -m makes such a group), or by a signal to the
# script alone.
interrupt() { # DIR SIGNAL TARGET_PREFIX: leaves the script's exit status in $code
  fault stall 1000000 model.safetensors
  set -m
  HF_TOKEN=hf_sesame "$script" acme/tiny "$1" 2> "$work/said" &
  local pid=$!
  set +m
  for _ in {1..200}; do [ "$(stat -c %s "$1/model.safetensors.part" 2> /dev/null || echo 0)" -lt 900000 ] || break; sleep 0.1; done
  check "the token is on no command line" refused grep -qsa 'hf_sesam[e]' /proc/[0-9]*/cmdline
  "$script" acme/tiny "$1" 2> "$work/said-second" && code=0 || code=$?
  check "a second download into the same folder is refused" bash -c "[ $code = 1 ] && grep -q 'another download' $work/said-second"
  kill -"$2" -- "$3$pid"
  code=0
  wait $pid || code=$?
}
for how in "INT 130 -" "TERM 143"; do
  read -r signal expected prefix <<< "$how"
  dir=$work/$signal
  interrupt "$dir" "$signal" "${prefix-}"
  check "SIG$signal ends it" [ "$code" = "$expected" ]
  check "... with the command that goes on" says "the same command goes on where it stopped: $script acme/tiny $dir"
  check "... leaving what had come" cmp -n "$(stat -c %s "$dir/model.safetensors.part")" "$weights" "$dir/model.safetensors.part"
  check "... and no curl" refused grep -qsa "$dir/model.safetensors[.]part" /proc/[0-9]*/cmdline
  begun=$(stat -c %s "$dir/model.safetensors.part")
  mark
  check "... and it goes on ($begun bytes were there)" get acme/tiny "$dir"
  check "... with the rest alone" [ "$(sent model.safetensors)" = $((3000000 - begun)) ]
  check "... to the end" complete "$dir"
done

# Bytes that are not the hub's.
fault wrong 0 model.safetensors
check "wrong bytes once are fetched anew" get acme/tiny "$work/wrong"
check "... which is said" says "is not the hub's file"
check "... and the model is complete" complete "$work/wrong"
begin "$work/beginning" 0
head -c 1000000 /dev/zero > "$work/beginning/model.safetensors.part"
check "a wrong beginning is dropped" get acme/tiny "$work/beginning"
check "... for the right one" complete "$work/beginning"
begin "$work/long" 3000000
echo >> "$work/long/model.safetensors.part"
check "too long a beginning is dropped" get acme/tiny "$work/long"
check "... and comes anew" complete "$work/long"
begin "$work/all-there" 3000000
mark
check "a beginning that is all there" get acme/tiny "$work/all-there"
check "... is checked, not fetched" bash -c "[ $(asked /acme/tiny/resolve/) = 0 ]"
begin "$work/norange" 1000000
fault norange 0 model.safetensors
mark
check "a server that cannot go on in the middle" get acme/tiny "$work/norange"
check "... is asked from the start" [ "$(asked '/storage/.* from=0 ')" = 1 ]
check "... which is said" says "starting over"
check "... and gives all" complete "$work/norange"
fault extra 5000000 model.safetensors
check "a server that sends more than it announced" get acme/tiny "$work/extra"
found=$(sed -n 's/.*found \([0-9]*\) bytes.*/\1/p' "$work/said")
check "... is not let write it (it wrote $found)" [ "$found" -le 3001024 ]
check "... and is asked again" complete "$work/extra"
begin "$work/edited" 3000000
echo '{"mine": 1}' > "$work/edited/config.json"
check "a file that the user changed is replaced" get acme/tiny "$work/edited"
check "... which is said" says "config.json is not the hub's file"
check "... and done" complete "$work/edited"

put acme/forged config.json 100
put acme/forged model.safetensors 100000
publish acme/forged
put acme/forged model.safetensors 100000
mkdir "$work/forged"
echo old > "$work/forged/model.safetensors"
mark
check "bytes that are always wrong are refused" refused get acme/forged "$work/forged"
check "... naming both checksums" says "$(sha256sum < "$work/hub/files/acme/forged/model.safetensors" | cut -d ' ' -f 1)"
check "... after two tries" [ "$(sent model.safetensors)" = 200000 ]
check "... keeping what was there, and no more" bash -c "[ \"\$(cd $work/forged && echo *)\" = 'config.json model.safetensors' ] && grep -qx old $work/forged/model.safetensors"
put acme/forged model.safetensors 50000
head -c 60000 /dev/zero > "$work/forged/model.safetensors.part"
check "a file shorter than announced is refused" refused get acme/forged "$work/forged"
put acme/forged config.json 100
rm "$work/forged/config.json"
check "a small file is held against git's checksum" refused get acme/forged "$work/forged"
check "... and not kept" [ ! -e "$work/forged/config.json" ]

# Listings that are not to be trusted.
hostile() { # NAME OF CASE, jq filter on the listing, what is said
  publish acme/tiny "$2"
  mark
  check "$1 is refused" refused get acme/tiny "$work/hostile/dir" --all
  check "... which is said" says "$3"
  check "... in plain letters" refused env LC_ALL=C grep -q '[^ -~]' "$work/said"
  check "... before anything is fetched" bash -c "[ $(asked /acme/tiny/resolve/) = 0 ] && [ ! -e $work/hostile ]"
}
for name in '/tmp/config.json' '../config.json' 'a/../../config.json' '..' 'a//b' './a' 'a/' '' 'config\n.json' 'tokenizer\u001b[2J' 'tokenizer\u009b2J' 'tokenizer\u007f' '\u0000'; do
  hostile "the file name \"$name\"" ".siblings[0].rfilename = \"$name\"" "whose name is not safe"
done
hostile "a listing without names" 'del(.siblings[0].rfilename)' "whose name is not safe"
hostile "a name as of our unfinished files" '.siblings[0].rfilename = "model.safetensors.part"' "ends as the files do"
hostile "a checksum that smuggles a name" '.siblings |= map(select(.lfs | not)) | .siblings[0].blobId += "\t../x\tfalse\t../x"' "no size and checksum"
hostile "a checksum with a line break" '.siblings |= map(select(.lfs | not)) | .siblings[0].blobId += "\n"' "no size and checksum"
hostile "a file without a checksum" 'del(.siblings[0].blobId, .siblings[0].lfs)' "no size and checksum"
hostile "a file without a size" '.siblings[0].size = null' "no size and checksum"
hostile "a negative size" '.siblings[0].size = -1' "no size and checksum"
hostile "a commit that is none" '.sha = "main/../../other"' "does not answer as a hub does"
hostile "a listing without files" 'del(.siblings)' "does not answer as a hub does"
hostile "a listing of numbers" '.siblings = [1]' "does not answer as a hub does"
hostile "a checksum of another shape" '.siblings[0].lfs = "x"' "does not answer as a hub does"
publish acme/tiny
echo "<html>Welcome to our network</html>" > "$work/hub/listings/acme/tiny/html.json"
check "a web page in place of a listing is refused" refused get acme/tiny "$work/none" --revision html
check "... which is said" says "does not answer as a hub does"

put acme/large model.safetensors 100
publish acme/large '.siblings[0].size = 100000000000000'
mark
check "more than the disk holds" refused get acme/large "$work/large"
check "... is said" says "100 TB are still to come and"
check "... before anything is fetched" bash -c "[ $(asked /acme/large/resolve/) = 0 ] && [ -z \"\$(ls $work/large)\" ]"

# Refusals of the hub, and other hubs.
check "a repository that is not there, to a stranger" refused get acme/nothing "$work/none"
check "... or not for strangers" says "acme/nothing: no such repository, or not for everyone (HTTP 401)"
check "a repository that is not there, with a token" refused env HF_TOKEN=x bash -c "$script acme/nothing $work/none 2> $work/said"
check "... is said" says "acme/nothing: not found at $hub (HTTP 404)"
check "a revision that is not there" refused get acme/tiny "$work/none" --revision refs/pr/7
check "... is said" says 'acme/tiny has no revision "refs/pr/7"'
cp -r "$work/hub/files/acme/tiny" "$work/hub/files/acme/closed"
publish acme/closed
mkdir -p "$work/hub/gated/acme"
printf 'hf_open sesame' | tr -d ' ' > "$work/hub/gated/acme/closed"
check "a gated repository without a token" refused get acme/closed "$work/closed"
check "... says what to do" says "acme/closed is gated (HTTP 401): accept its licence at $hub/acme/closed, and set HF_TOKEN"
check "a gated repository with another's token" refused env HF_TOKEN=hf_other bash -c "$script acme/closed $work/closed 2> $work/said"
check "... says what to do" says "no access (HTTP 403): if it is gated, accept its licence"
mark
check "a gated repository with its token" env HF_TOKEN=hf_opensesame bash -c "$script acme/closed $work/closed 2> $work/said"
check "... comes" complete "$work/closed"
check "... the hub sees the token" [ "$(asked '/acme/closed/resolve/.*token=yes')" = 4 ]
check "... the host it leads to does not" [ "$(asked '/storage/.*model.safetensors.*token=no')" = 1 ]
check "a slash after HF_ENDPOINT" env "HF_ENDPOINT=$hub/" "$script" acme/tiny --list
check "a hub that is not there" refused env HF_ENDPOINT=http://127.0.0.1:1 bash -c "$script acme/tiny $work/none 2> $work/said"
check "... names HF_ENDPOINT" says "cannot reach http://127.0.0.1:1"
check "an HF_ENDPOINT that is none" refused env HF_ENDPOINT=file:///etc "$script" acme/tiny "$work/none"
for name in 2b4t:bitnet-b1.58-2B-4T bf16:bitnet-b1.58-2B-4T-bf16 gguf:bitnet-b1.58-2B-4T-gguf; do
  mark
  get "${name%%:*}" "$work/none" || true
  check "${name%%:*} is Microsoft's" [ "$(asked "/api/models/microsoft/${name#*:}/revision/main?blobs=true ")" = 1 ]
done
for name in '' acme acme/ acme/../x 'acme/tiny?x' a/b/c /acme/tiny; do
  check "\"$name\" is no repository" refused get "$name" "$work/none"
done

# GGUF repositories.
put acme/tiny-gguf model-Q8_0.gguf 3000
put acme/tiny-gguf model-i2_s.gguf 2000
put acme/tiny-gguf README.md 10
publish acme/tiny-gguf
check "one of several GGUF files" get acme/tiny-gguf "$work/gguf" --only '*i2_s*'
check "... comes alone" bash -c "[ \"\$(cd $work/gguf && echo *)\" = 'README.md model-i2_s.gguf' ]"
check "... with the next command" says "rotor-export $work/gguf/model-i2_s.gguf model.rotor"
check "weights that are not there" refused get acme/tiny-gguf "$work/none" --only '*q4*'
check "... are missed" says 'no *.safetensors and no *.gguf that fit "*q4*"'

check "nothing was written elsewhere" [ ! -e "$work/none" ]
echo "$failures failures"
[ "$failures" -eq 0 ]
