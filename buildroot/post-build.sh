#!/usr/bin/env bash
# Buildroot calls this when the root is complete, before images are made of it: TARGET_DIR BOARD.
# RETROWAVES_KEYRING: what the box trusts (`make image` sets it); without one a development key is made.
set -euo pipefail

target=$1 board=$2
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..
keyring=${RETROWAVES_KEYRING:-$top/target/keys/development/keyring.pem}
[ -n "${RETROWAVES_KEYRING:-}" ] || "$top/board/keys.sh" "$top/target/keys/development" --development
version=$(sed -n 's/^RETROWAVES_VERSION = //p' "$here/package/retrowaves/retrowaves.mk")
"$top/board/install-box.sh" "$target" "$board" "${RETROWAVES_IMAGE_VERSION:-$version}" "$keyring"

# What packages leave in /etc and would write there, where nothing can be written: the host's keys lie on the data
# partition (sshd.service.d/retrowaves.conf).
rm -f "$target"/etc/ssh/ssh_host_*
# The name is the owner's, set at each start; this one until then.
echo retrowaves >"$target/etc/hostname"
