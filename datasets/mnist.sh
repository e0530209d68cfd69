#!/usr/bin/env bash
# Puts MNIST's four files into DIR (default data/mnist), checked against their published checksums. Taken from the shared
# data folder when that is there (ROTOR_SHARED, default ../shared), else downloaded.
#
#   datasets/mnist.sh [DIR]
#   ROTOR_MNIST_MIRROR=https://example.org/mnist datasets/mnist.sh     another server
set -euo pipefail

case "${1:-}" in
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "mnist.sh: unknown option $1; see datasets/mnist.sh --help" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-$root/data/mnist}
manifest=$root/datasets/mnist.md5
shared=${ROTOR_SHARED:-$root/../shared}/data/mnist
mirrors=(${ROTOR_MNIST_MIRROR:-https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist})

verified() { (cd "$1" && md5sum --check --quiet --status "$manifest") 2> /dev/null; }

if verified "$target"; then
  echo "mnist.sh: $target is complete" >&2
  exit 0
fi
mkdir -p "$target"
work=$(mktemp -d "$target/.download-XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() { # FILE: from the first mirror that has it
  local mirror
  for mirror in "${mirrors[@]}"; do
    echo "mnist.sh: $mirror/$1" >&2
    curl --fail --location --retry 3 --progress-bar --output "$work/$1" "$mirror/$1" && return
  done
  echo "mnist.sh: no mirror gave $1; set ROTOR_MNIST_MIRROR to the address of a folder that holds MNIST's .gz files" >&2
  exit 1
}

while read -r _ file; do
  if [ -r "$shared/$file" ]; then cp "$shared/$file" "$work/"; else fetch "$file"; fi
done < "$manifest"
if ! (cd "$work" && md5sum --check --quiet "$manifest") >&2; then
  echo "mnist.sh: a file has not the published checksum (datasets/mnist.md5); nothing was kept" >&2
  exit 1
fi
while read -r _ file; do mv "$work/$file" "$target/"; done < "$manifest"
chmod u+w "$target"/*.gz
echo "mnist.sh: $target is complete" >&2
