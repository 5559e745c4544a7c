#!/usr/bin/env bash
# The guest as a card: its root and its boot partition, made into a card image and an update bundle by the same
# board/make-image.sh as the box's. Signed with development keys of target/guest/keys.
#
# Usage: board/guest/image.sh VERSION [broken|foreign]
#
# Leaves target/guest/retrowaves-virt-VERSION.{img,raucb}. broken: its first program ends at once. foreign: signed
# by somebody else, and left in target/guest/foreign.
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

version=$1 kind=${2:-}
cd "$GUEST_ROOT"
tree=$GUEST_WORK/tree boot=$GUEST_WORK/boot keys=$GUEST_WORK/keys signers=$GUEST_WORK/keys out=$GUEST_WORK
board/keys.sh "$keys" --development
if [ "$kind" = foreign ]; then
	signers=$GUEST_WORK/foreign/keys out=$GUEST_WORK/foreign
	board/keys.sh "$signers" --development
fi
board/guest/rootfs.sh "$tree" "$version" "$keys/keyring.pem"
if [ "$kind" = broken ]; then
	rm "$tree/usr/sbin/init"
	printf '#!/bin/sh\nexit 1\n' >"$tree/usr/sbin/init"
	chmod 755 "$tree/usr/sbin/init"
fi
board/guest/initrd.sh "$GUEST_WORK/initrd.cpio"
rm -rf "$boot"
mkdir -p "$boot"
cp "$GUEST_WORK/kernel/vmlinuz" "$boot/Image"
cp "$GUEST_WORK/initrd.cpio" "$boot/initrd"
# Made here and not by make-image.sh: all is root's, whoever builds it, and in a hurry.
mksquashfs "$tree" "$GUEST_WORK/root.squashfs" -all-root -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress >&2
board/make-image.sh --board virt --root "$GUEST_WORK/root.squashfs" --boot "$boot" --version "$version" \
	--out "$out" --key "$signers/signing.key" --cert "$signers/signing.pem" --keyring "$signers/keyring.pem" \
	--uncompressed --cmdline retrowaves.standin=1
rm -rf "$tree"
# Of all but the first version only the bundle is needed; a card is large.
case "$version$kind" in 1.0.0) ;; *) rm -f "$out/retrowaves-virt-$version.img" ;; esac
