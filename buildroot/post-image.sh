#!/usr/bin/env bash
# Buildroot calls this with its images complete: BINARIES_DIR BOARD. Gathers the boot partition's files and
# has board/make-image.sh make the card's image and the update bundle, with Buildroot's own tools (they
# come first in PATH). RETROWAVES_KEY, RETROWAVES_CERT, RETROWAVES_KEYRING, RETROWAVES_RELEASE: as `make image` says.
set -euo pipefail

images=$1 board=$2
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..
keys=$top/target/keys/development
version=$(sed -n 's/^RETROWAVES_VERSION = //p' "$here/package/retrowaves/retrowaves.mk")
boot=$images/boot-$board
rm -rf "$boot"
mkdir -p "$boot/overlays"
cp "$images/Image" "$boot/"
cp "$images"/*.dtb "$boot/"
# config.txt is ours; all else of the firmware, with the overlays of HATs.
if [ -d "$images/rpi-firmware" ]; then cp -r "$images/rpi-firmware/." "$boot/"; fi

release=()
[ "${RETROWAVES_RELEASE:-no}" != yes ] || release=(--release)
"$top/board/make-image.sh" --board "$board" --root "$images/rootfs.squashfs" --boot "$boot" \
	--version "${RETROWAVES_IMAGE_VERSION:-$version}" --key "${RETROWAVES_KEY:-$keys/signing.key}" \
	--cert "${RETROWAVES_CERT:-$keys/signing.pem}" --keyring "${RETROWAVES_KEYRING:-$keys/keyring.pem}" \
	"${release[@]}" --out "$images"
