#!/usr/bin/env bash
# Installs every Debian package that Rotor needs, as root or through sudo. What is there already is left alone.
#
#   scripts/setup.sh                  build, train and test
#   scripts/setup.sh --runtime-only   an edge machine: build rotor and rotor-export, no LibTorch
#   scripts/setup.sh --list           print the packages and what they are for; install nothing
set -euo pipefail

# package | needed with --runtime-only | what for | how it is usually called elsewhere
packages() {
  cat <<'LIST'
g++|yes|C++20 compiler (12 or newer)|gcc-c++ or gcc
cmake|yes|build (3.25 or newer)|cmake
ninja-build|yes|build|ninja
libxxhash-dev|yes|checksums in .rotor files|xxhash-devel or xxhash
zlib1g-dev|yes|compressed data sets|zlib-devel or zlib
nlohmann-json3-dev|yes|JSON|json-devel or nlohmann-json
libcxxopts-dev|yes|command lines|cxxopts-devel or cxxopts
ccache|no|builds faster the second time|ccache
git|no|the source|git
libtorch-dev|no|training (LibTorch)|libtorch (from pytorch.org) or python-pytorch
libopenblas0-openmp|no|fast matrix products for LibTorch, sharing its threads|openblas-openmp or openblas
libyaml-cpp-dev|no|training configs|yaml-cpp-devel or yaml-cpp
libgtest-dev|no|tests (GoogleTest)|gtest-devel or gtest
libbenchmark-dev|no|micro-benchmarks (Google Benchmark)|google-benchmark-devel or benchmark
binutils|no|tests look at symbols with nm|binutils
curl|no|downloads of data sets|curl
dataset-fashion-mnist|no|Fashion-MNIST, the quick start's images|(Debian only; datasets/README.md says what else works)
LIST
}

wanted() {
  if [ "$runtime_only" = yes ]; then packages | awk -F'|' '$2 == "yes"'; else packages; fi
}

runtime_only=no
list_only=no
for argument in "$@"; do
  case "$argument" in
    --runtime-only) runtime_only=yes ;;
    --list) list_only=yes ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option $argument; see scripts/setup.sh --help" >&2; exit 2 ;;
  esac
done

if [ "$list_only" = yes ]; then
  wanted | awk -F'|' '{ printf "  %-24s %s\n", $1, $3 }'
  exit 0
fi

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
  echo "setup.sh: this system has no apt. Rotor needs, by Debian's names and what they are usually called elsewhere:" >&2
  wanted | awk -F'|' '{ printf "  %-24s %-55s %s\n", $1, $3, $4 }' >&2
  echo "Install them, then: cmake --preset release && cmake --build --preset release" >&2
  exit 1
fi

missing=()
while IFS='|' read -r package _; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done < <(wanted)

if [ ${#missing[@]} -eq 0 ]; then
  echo "setup.sh: all packages are installed" >&2
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "setup.sh: not root and no sudo here; as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "setup.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
