#!/usr/bin/env bash
# Debian's arm64 kernel, its modules and device trees, and a static busybox for the initrd, unpacked
# into target/guest/kernel. Nothing is done if they are there.
#
# Usage: board/guest/kernel.sh
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

kernel=$GUEST_WORK/kernel
[ ! -e "$kernel/done" ] || exit 0
rm -rf "$kernel"
# The package without a version in its name leads to the newest one.
package=$(guest_apt apt-cache depends linux-image-arm64 | awk '/Depends: linux-image/ { print $2; exit }')
guest_say "fetching $package"
guest_unpack "$kernel" "$package" busybox-static
version=${package#linux-image-}
[ -d "$kernel/usr/lib/modules/$version" ] || guest_die "$package has no modules of $version"
depmod -b "$kernel/usr" "$version"
cp "$kernel/boot/vmlinuz-$version" "$kernel/vmlinuz"
echo "$version" >"$kernel/version"
touch "$kernel/done"
