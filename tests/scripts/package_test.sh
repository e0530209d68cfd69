#!/usr/bin/env bash
# The Debian package: what is in it, what it needs, and whether what was unpacked runs. As an ordinary user;
# where dpkg can install into a folder (as root), it is also installed, upgraded and removed there.
#
#   tests/scripts/package_test.sh BUILD_DIR      of the preset runtime-only
set -euo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "package_test.sh: $*" >&2
  exit 1
}

cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work" > "$work/cpack.log" || { cat "$work/cpack.log" >&2; fail "cpack"; }
package=$(ls "$work"/rotor_*.deb)
dpkg-deb --contents "$package" | awk '{ print $1, $2, $6 }' > "$work/contents"
for wanted in '-rwxr-xr-x root/root ./usr/bin/rotor' '-rw-r--r-- root/root ./usr/lib/systemd/system/rotor.service' \
  '-rw-r--r-- root/root ./etc/rotor/rotor.conf' '-rw------- root/root ./etc/rotor/keys' \
  '-rw-r--r-- root/root ./usr/share/doc/rotor/examples/nginx.conf' '-rw-r--r-- root/root ./usr/share/doc/rotor/examples/haproxy.cfg' \
  '-rw-r--r-- root/root ./usr/share/doc/rotor/deploy.md' '-rw-r--r-- root/root ./usr/share/man/man1/rotor.1'; do
  grep -qxF -- "$wanted" "$work/contents" || { cat "$work/contents" >&2; fail "expected in it: $wanted"; }
done
! grep -E 'rotor-(train|export)' "$work/contents" >&2 || fail "it holds more than the runtime"
depends=$(dpkg-deb --field "$package" Depends)
for library in libc6 libssl3 libcpp-httplib libprometheus-cpp-core; do
  [[ "$depends" == *"$library"* ]] || fail "expected it to depend on $library, found: $depends"
done
[[ "$depends" != *torch* ]] || fail "it depends on LibTorch: $depends"
[ "$(dpkg-deb --info "$package" conffiles | sort | tr '\n' ' ')" = "/etc/rotor/keys /etc/rotor/rotor.conf " ] || fail "conffiles"

dpkg-deb --extract "$package" "$work/root"
"$work/root/usr/bin/rotor" --version > /dev/null || fail "what was unpacked does not run"
# systemd looks for the program and the manual page of this machine.
if command -v systemd-analyze > /dev/null; then
  sed -e "s|/usr/bin/rotor|$work/root/usr/bin/rotor|; /^Documentation=/d" "$work/root/usr/lib/systemd/system/rotor.service" > "$work/rotor.service"
  said=$(systemd-analyze verify "$work/rotor.service" 2>&1) || fail "systemd refuses the service: $said"
  [ -z "$said" ] || fail "systemd says of the service: $said"
fi
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$work/system/var/lib/dpkg"/{info,updates} "$work/system/bin" "$work/system/usr/bin"
  touch "$work/system/var/lib/dpkg/status"
  # The maintainers' scripts run as for a system that is not running: with DPKG_ROOT, outside of a chroot.
  for step in "--install $package" "--install $package" "--remove rotor" "--purge rotor"; do
    # shellcheck disable=SC2086  # words
    dpkg --root="$work/system" --force-depends --force-script-chrootless --force-not-root $step > "$work/dpkg.log" 2>&1 ||
      { cat "$work/dpkg.log" >&2; fail "dpkg $step"; }
    case "$step" in
      --install*) [ -x "$work/system/usr/bin/rotor" ] || fail "dpkg installed nothing" ;;
      --remove*) [ -e "$work/system/etc/rotor/keys" ] || fail "keys are gone before a purge" ;;
      --purge*) [ ! -e "$work/system/etc/rotor" ] || fail "left behind: $(find "$work/system/etc/rotor")" ;;
    esac
  done
fi
echo "package_test.sh: $(basename "$package"), depends: $depends" >&2
