#!/usr/bin/env bash
# The guest's initrd: busybox, dmsetup and the modules that the root lies on, of the machines `virt`
# and `raspi3b` both. Small, since QEMU gives it byte by byte to a processor that it plays.
#
# Usage: board/guest/initrd.sh OUT.cpio
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

out=$1
kernel=$GUEST_WORK/kernel
version=$(cat "$kernel/version")
modules=(virtio_blk squashfs dm_mod dm_verity sha256 overlay
	sdhci_iproc bcm2835 mmc_block dwc2 bcm2835_wdt clk_raspberrypi raspberrypi_hwmon)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,lib/aarch64-linux-gnu,dev,proc,sys,sysroot}
cp "$kernel/usr/bin/busybox" "$tree/bin/busybox"
install -m 755 "$GUEST_ROOT/board/guest/init" "$tree/init"

# dmsetup and every library it asks for, and theirs.
base=$GUEST_WORK/base
needed() { aarch64-linux-gnu-readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
cp "$base/usr/sbin/dmsetup" "$tree/bin/dmsetup"
mapfile -t libraries < <(needed "$base/usr/sbin/dmsetup")
for ((i = 0; i < ${#libraries[@]}; i++)); do
	name=${libraries[i]}
	[ ! -e "$tree/lib/aarch64-linux-gnu/$name" ] || continue
	cp -L "$base/usr/lib/aarch64-linux-gnu/$name" "$tree/lib/aarch64-linux-gnu/$name"
	mapfile -t -O ${#libraries[@]} libraries < <(needed "$base/usr/lib/aarch64-linux-gnu/$name")
done
ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 "$tree/lib/ld-linux-aarch64.so.1"

for module in "${modules[@]}"; do
	modprobe -d "$kernel/usr" -S "$version" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
	while read -r path; do
		name=$(basename "$path" .xz)
		case $path in
		*.xz) xz -dc "$path" >"$tree/lib/$name" ;;
		*) cp "$path" "$tree/lib/$name" ;;
		esac
		echo "/lib/$name"
	done >"$tree/order"
(cd "$tree" && find . | sort | cpio -o -H newc --quiet) >"$out.part"
mv "$out.part" "$out"
