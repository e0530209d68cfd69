#!/usr/bin/env bash
# Puts tiny Shakespeare (1.1 MB, public domain) into FILE, checked against its checksum. Taken from the shared data folder
# when that is there (ROTOR_SHARED, default ../shared), else downloaded.
#
#   datasets/shakespeare.sh [FILE]     default data/tinyshakespeare/input.txt
#   ROTOR_SHAKESPEARE_URL=https://example.org/input.txt datasets/shakespeare.sh     another server
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "shakespeare.sh: unknown option $1; see datasets/shakespeare.sh --help" >&2; exit 2 ;;
esac
target=${1:-data/tinyshakespeare/input.txt}
shared=${ROTOR_SHARED:-../shared}/data/tinyshakespeare/input.txt
url=${ROTOR_SHAKESPEARE_URL:-https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt}
sum=86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed

verified() { echo "$sum  $1" | sha256sum --check --quiet --status 2> /dev/null; }

if verified "$target"; then
  echo "shakespeare.sh: $target is complete" >&2
  exit 0
fi
mkdir -p "$(dirname "$target")"
if verified "$shared"; then
  cp "$shared" "$target.partial"
else
  curl --fail --location --retry 3 --progress-bar --output "$target.partial" "$url"
fi
verified "$target.partial" || {
  echo "shakespeare.sh: $target.partial is not tiny Shakespeare (expected SHA-256 $sum)" >&2
  exit 1
}
mv "$target.partial" "$target"
echo "shakespeare.sh: $target, $(wc -c < "$target") bytes" >&2
