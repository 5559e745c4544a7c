#!/usr/bin/env bash
# The guest as a card: its root and its boot partition, made into a card image and an update bundle by the same
# board/make-image.sh as the box's. Signed with development keys of target/guest/keys.
#
# Usage: board/guest/image.sh VERSION          leaves target/guest/retrowaves-virt-VERSION.{img,raucb}
#        GUEST_BREAK=tower  a version whose tower ends at once, for the test of the way back
. "$(dirname "$0")/lib.sh"

version=$1
cd "$GUEST_ROOT"
tree=$GUEST_WORK/tree boot=$GUEST_WORK/boot keys=$GUEST_WORK/keys
board/keys.sh "$keys" --development
board/guest/rootfs.sh "$tree" "$version" "$keys/keyring.pem"
if [ "${GUEST_BREAK:-}" = tower ]; then
	printf '#!/bin/sh\ncase "$1" in run) exit 1 ;; esac\nexec /usr/bin/tower.real "$@"\n' >"$GUEST_WORK/broken"
	mv "$tree/usr/bin/tower" "$tree/usr/bin/tower.real"
	install -m 755 "$GUEST_WORK/broken" "$tree/usr/bin/tower"
fi
board/guest/initrd.sh "$GUEST_WORK/initrd.cpio"
rm -rf "$boot"
mkdir -p "$boot"
cp "$GUEST_WORK/kernel/vmlinuz" "$boot/Image"
cp "$GUEST_WORK/initrd.cpio" "$boot/initrd"
# Made here and not by make-image.sh: all is root's, whoever builds it, and in a hurry.
mksquashfs "$tree" "$GUEST_WORK/root.squashfs" -all-root -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress >&2
board/make-image.sh --board virt --root "$GUEST_WORK/root.squashfs" --boot "$boot" --version "$version" \
	--out "$GUEST_WORK" --key "$keys/signing.key" --cert "$keys/signing.pem" --keyring "$keys/keyring.pem" --uncompressed \
	--cmdline retrowaves.standin=1
rm -rf "$tree"
