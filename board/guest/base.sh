#!/usr/bin/env bash
# Debian's packages for the guest's root (board/guest/packages), unpacked by mmdebstrap into
# target/guest/base. No script of a package runs, so no emulation is needed and it takes seconds;
# board/guest/rootfs.sh does what those scripts would have done. Nothing is done if the list is the same.
#
# Usage: board/guest/base.sh
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

list=$GUEST_ROOT/board/guest/packages
stamp=$(sha256sum "$list" "$0" | sha256sum | cut -d' ' -f1)
[ "$(cat "$GUEST_WORK/base.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
mkdir -p "$GUEST_WORK"
guest_say "unpacking Debian's packages"
include=$(grep -v '^#' "$list" | paste -sd,)
SOURCE_DATE_EPOCH=0 timeout 600 mmdebstrap --quiet --arch=arm64 --variant=extract --mode=auto --include="$include" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/*/gconv/*' \
	--aptopt='Acquire::Languages "none"' \
	"$GUEST_RELEASE" "$GUEST_WORK/base.tar" "$(guest_mirror)"
rm -rf "$GUEST_WORK/base"
mkdir "$GUEST_WORK/base"
tar -x --no-same-owner --exclude='./dev/*' -f "$GUEST_WORK/base.tar" -C "$GUEST_WORK/base"
rm "$GUEST_WORK/base.tar"
echo "$stamp" >"$GUEST_WORK/base.stamp"
