#!/usr/bin/env bash
# From a fresh clone to text by your own ternary language model: installs the packages, builds, trains on English prose,
# packs the model into bit-planes, proves that the packed model answers as the trained one, and generates with a program
# that has never heard of LibTorch. Some eight minutes on two cores. Everything it writes lies in build/, data/ and
# quickstart/; run it again to start over.
#
#   scripts/quickstart.sh                     the whole trip
#   scripts/quickstart.sh --steps 100         a shorter training
#   scripts/quickstart.sh --text my-book.txt  on a text of your own (a megabyte or more)
set -euo pipefail
cd "$(dirname "$0")/.."

overrides=()
text=data/kjv/kjv.txt
own=no
while [ $# -gt 0 ]; do
  case "$1" in
    --steps) steps=${2:?--steps needs a number}; overrides+=(--set "train.steps=$steps" --set "eval.every=$steps"); shift 2 ;;
    --text) text=${2:?--text needs a file}; own=yes; shift 2 ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
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
bin=build/release/bin

step "Extracting the text"
[ $own = yes ] || show datasets/kjv.sh "$text"

step "Training a ternary language model"
show $bin/rotor-train fit configs/quickstart.yaml --set output_dir=quickstart --set data.path="$text" --overwrite "${overrides[@]}"

step "Packing it into bit-planes"
show $bin/rotor-export quickstart/checkpoint quickstart/model.rotor
show $bin/rotor verify quickstart/model.rotor

step "Proving that the packed model answers as the trained one, on 5,000 tokens that training did not see"
show $bin/seam-check quickstart/checkpoint quickstart/model.rotor --text "$text"

step "Generating without LibTorch"
show $bin/rotor run quickstart/model.rotor -p "And the LORD said unto" -n 100 --echo --seed 7
echo
