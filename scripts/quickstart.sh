#!/usr/bin/env bash
# From a fresh clone to a ternary network that runs without LibTorch: installs the packages, builds, trains on
# Fashion-MNIST, packs the model into bit-planes, proves that the packed model answers as the trained one, and runs it.
# A few minutes on two cores. Everything it writes lies in build/ and quickstart/; run it again to start over.
#
#   scripts/quickstart.sh               the whole trip
#   scripts/quickstart.sh --epochs 5    a shorter training
set -euo pipefail
cd "$(dirname "$0")/.."

epochs=()
while [ $# -gt 0 ]; do
  case "$1" in
    --epochs) epochs=(--set "train.epochs=${2:?--epochs needs a number}"); shift 2 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown option $1; see scripts/quickstart.sh --help" >&2; exit 2 ;;
  esac
done

step() { printf '\n== %s\n' "$*" >&2; }
show() { printf '$ %s\n' "$*" >&2; "$@"; }

step "Installing packages"
scripts/setup.sh

step "Building"
cmake --preset release > /dev/null
cmake --build --preset release --target rotor rotor-export rotor-train seam-check

data=/usr/share/datasets/fashion-mnist
bin=build/release/bin

step "Training a ternary classifier on 60,000 images"
show $bin/rotor-train fit configs/fashion-mlp.yaml --set output_dir=quickstart --overwrite "${epochs[@]}"

step "Packing it into bit-planes"
show $bin/rotor-export quickstart/checkpoint quickstart/fashion.rotor
show $bin/rotor verify quickstart/fashion.rotor

step "Proving that the packed model answers as the trained one, on 10,000 images"
show $bin/seam-check quickstart/checkpoint quickstart/fashion.rotor --data $data

step "Running it without LibTorch"
show $bin/rotor classify quickstart/fashion.rotor --data $data
