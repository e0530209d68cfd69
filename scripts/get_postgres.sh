#!/usr/bin/env bash
# Fetches a PostgreSQL server with pgvector into build/postgres, for the tests of knowledge bases on servers: Debian 12 has
# PostgreSQL, but no pgvector. Nothing is installed, no root is needed.
#
#   scripts/get_postgres.sh            fetch, unless it is there already
#   scripts/get_postgres.sh --again    fetch anew
#
# The programs come from the Python package pgserver (x86-64 Linux). On other machines name an installation with pgvector
# of your own, ROTOR_POSTGRES_DIR=/usr/lib/postgresql/17 say, when you run the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

package=pgserver==0.1.4
sha256=d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813

again=no
for argument in "$@"; do
  case "$argument" in
    --again) again=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "get_postgres.sh: unknown option $argument; see scripts/get_postgres.sh --help" >&2; exit 2 ;;
  esac
done

target=$PWD/build/postgres
if [ "$again" = no ] && [ "$(cat "$target/rotor-package" 2> /dev/null)" = "$sha256" ]; then
  echo "get_postgres.sh: $target is there already" >&2
  exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "get_postgres.sh: the package is for Linux on x86-64; found $(uname -sm). Install PostgreSQL with pgvector, and name" \
    "its folder when you run the tests: ROTOR_POSTGRES_DIR=/usr/lib/postgresql/17" >&2
  exit 1
fi

mkdir -p build
work=$(mktemp -d "$PWD/build/postgres.XXXXXX")
trap 'rm -rf "$work"' EXIT
for attempt in 1 2 3; do
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
    --python-version 3.11 --abi cp311 --platform manylinux2014_x86_64 --dest "$work" "$package" && break
  [ "$attempt" -lt 3 ] || { echo "get_postgres.sh: $package could not be fetched" >&2; exit 1; }
  sleep $((attempt * 5))
done
wheel=$(ls "$work"/*.whl)
echo "$sha256  $wheel" | sha256sum --check --quiet -
python3 -m zipfile -e "$wheel" "$work/wheel"
mv "$work"/wheel/pgserver.libs/* "$work/wheel/pgserver/pginstall/lib/"
chmod -R u=rwX,go=rX "$work/wheel/pgserver/pginstall"
chmod 755 "$work"/wheel/pgserver/pginstall/bin/*
echo "$sha256" > "$work/wheel/pgserver/pginstall/rotor-package"
rm -rf "$target" "$work/wheel/pgserver/pginstall/include"
mv "$work/wheel/pgserver/pginstall" "$target"
echo "get_postgres.sh: $target" >&2
