#!/usr/bin/env bash
# Everything that the tests in QEMU start from, in target/guest: a card of version 1.0.0, and bundles of it, of
# 1.1.0, of 1.2.0 that does not come up, and of 1.3.0 signed by a stranger. What has not changed is not made again.
#
# Usage: board/guest/all.sh
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$GUEST_ROOT"
board/guest/kernel.sh
board/guest/base.sh
programs=${GUEST_PROGRAMS:-target/cross/aarch64-unknown-linux-gnu/release}
ffmpeg=${GUEST_FFMPEG:-target/ffmpeg-aarch64/ffmpeg}
stamp=$({ cat "$programs/tower" "$programs/station" "$ffmpeg" "$GUEST_WORK/base.stamp" "$GUEST_WORK/kernel/version"
	find board systemd scripts/install.sh tests/box/shell.sh tests/box/ffmpeg.sh tests/box/*.service tests/box/*.conf -type f |
		LC_ALL=C sort | xargs cat; } |
	sha256sum | cut -d' ' -f1)
[ "$(cat "$GUEST_WORK/images.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
for what in '1.0.0' '1.1.0' '1.2.0 broken' '1.3.0 foreign'; do
	guest_say "making version $what"
	# shellcheck disable=SC2086
	timeout 600 board/guest/image.sh $what
done
echo "$stamp" >"$GUEST_WORK/images.stamp"
