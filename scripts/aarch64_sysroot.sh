#!/usr/bin/env bash
# Fetches what Rotor's runtime compiles and runs against on 64-bit ARM, from Debian, into build/aarch64-sysroot:
# nothing is installed, no root is needed. Then:
#
#   cmake --preset aarch64 && cmake --build --preset aarch64 --target rotor
#   qemu-aarch64 -L build/aarch64-sysroot build/aarch64/bin/rotor --help
#
#   scripts/aarch64_sysroot.sh            fetch, unless it is there already with these packages
#   scripts/aarch64_sysroot.sh --again    fetch anew
set -euo pipefail
cd "$(dirname "$0")/.."

packages="libc6 libc6-dev linux-libc-dev libgcc-s1 libstdc++6 libcrypt1 libcrypt-dev zlib1g zlib1g-dev libxxhash0 libxxhash-dev
  libpcre2-8-0 libpcre2-dev libutf8proc2 libutf8proc-dev libsentencepiece0 libsentencepiece-dev libgtest-dev libvalijson-dev nlohmann-json3-dev libcxxopts-dev libvulkan1 libvulkan-dev
  opencl-c-headers opencl-clhpp-headers libedit2 libedit-dev libbsd0 libbsd-dev libmd0 libmd-dev libtinfo6 libncurses6 libncurses-dev
  libcpp-httplib0.11 libcpp-httplib-dev libbrotli1 libbrotli-dev libssl3 libssl-dev libprometheus-cpp-core1.0 prometheus-cpp-dev
  libsqlite3-0 libsqlite3-dev libfaiss-dev libblas3 libblas-dev liblapack3 liblapack-dev libgfortran5 libgomp1 libmd4c0 libmd4c-dev libgumbo1
  libgumbo-dev libuchardet0 libuchardet-dev libexpat1 libexpat1-dev libbz2-1.0 libbz2-dev"

again=no
for argument in "$@"; do
  case "$argument" in
    --again) again=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "aarch64_sysroot.sh: unknown option $argument; see scripts/aarch64_sysroot.sh --help" >&2; exit 2 ;;
  esac
done

target=$PWD/build/aarch64-sysroot
list=$target/rotor-packages
if [ "$again" = no ] && [ -f "$list" ] && [ "$(cat "$list")" = "$packages" ]; then
  echo "aarch64_sysroot.sh: $target is there already" >&2
  exit 0
fi
command -v apt-get > /dev/null || { echo "aarch64_sysroot.sh: needs Debian's apt-get" >&2; exit 1; }

mkdir -p build
work=$(mktemp -d "$PWD/build/sysroot.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,debs,root}
# apt with lists of its own, for another architecture, as if nothing were installed.
apt_arm64() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$work/state" \
    -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
apt_arm64 update
# shellcheck disable=SC2086  # a list of words
(cd "$work/debs" && apt_arm64 download $packages)
for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$work/root"; done
# What their installation would link.
libraries=usr/lib/aarch64-linux-gnu
for library in blas/libblas lapack/liblapack; do
  for ending in so so.3; do ln -sf "$library.$ending" "$work/root/$libraries/${library#*/}.$ending"; done
done
echo "$packages" > "$work/root/rotor-packages"
rm -rf "$target"
mv "$work/root" "$target"
echo "aarch64_sysroot.sh: $target" >&2
