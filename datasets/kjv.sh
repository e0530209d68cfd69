#!/usr/bin/env bash
# English prose for the quick start: the King James Version from Debian's package bible-kjv (scripts/setup.sh installs
# it), one verse a line, one empty line between chapters. 4.2 MB.
#
#   datasets/kjv.sh [FILE]     default data/kjv/kjv.txt
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "kjv.sh: unknown option $1; see datasets/kjv.sh --help" >&2; exit 2 ;;
esac
target=${1:-data/kjv/kjv.txt}
command -v bible > /dev/null || {
  echo "kjv.sh: no program \"bible\" here: install bible-kjv (scripts/setup.sh does), or take any other text: data.path in the config" >&2
  exit 1
}
mkdir -p "$(dirname "$target")"
# A line is "Ge1:1 In the beginning ...": the reference goes, and says where chapters begin.
COLUMNS=100000 bible -f Gen1:1-Rev22:21 | awk '
  { chapter = substr($1, 1, index($1, ":") - 1); sub(/^[^ ]* /, "") }
  NR > 1 && chapter != last { print "" }
  { last = chapter; print }' > "$target.partial"
lines=$(wc -l < "$target.partial")
[ "$lines" -gt 32000 ] || { echo "kjv.sh: expected more than 32000 lines, got $lines" >&2; exit 1; }
mv "$target.partial" "$target"
echo "kjv.sh: $target, $(wc -c < "$target") bytes" >&2
