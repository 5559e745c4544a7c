#!/usr/bin/env bash
# Makes a root file system, in which `scripts/install.sh` has put the programs and their units, the box's: what is
# in systemd/box and board/common, what RAUC trusts, and which version this is. Buildroot's post-build script
# and the boot tests call it, so that both have the same box. Running it again changes nothing.
#
# Usage: board/install-box.sh ROOT BOARD VERSION KEYRING
set -euo pipefail

cd "$(dirname "$0")/.."
[ $# = 4 ] || { echo "usage: board/install-box.sh ROOT BOARD VERSION KEYRING" >&2; exit 2; }
root=$1 board=$2 version=$3 keyring=$4
[ -e "board/$board/board.conf" ] || { echo "install-box: no board $board" >&2; exit 1; }
[ -x "$root/usr/bin/tower" ] || { echo "install-box: $root/usr/bin/tower is not there: scripts/install.sh first" >&2; exit 1; }
units=$root/usr/lib/systemd

put() { install -D -m "$1" "$2" "$3"; }

install_units() {
	local file name part
	for file in systemd/box/*; do
		name=$(basename "$file")
		case "$name" in
		*.service | *.socket | *.mount | *.target | *.timer | *.path) put 644 "$file" "$units/system/$name" ;;
		*.d) for part in "$file"/*; do put 644 "$part" "$units/system/$name/$(basename "$part")"; done ;;
		*.preset) put 644 "$file" "$units/system-preset/$name" ;;
		*.dnssd) put 644 "$file" "$units/dnssd/$name" ;;
		*.network) put 644 "$file" "$units/network/$name" ;;
		journald.conf) put 644 "$file" "$units/journald.conf.d/retrowaves.conf" ;;
		watchdog.conf) put 644 "$file" "$units/system.conf.d/retrowaves-watchdog.conf" ;;
		*) echo "install-box: where does $file belong?" >&2; exit 1 ;;
		esac
	done
}

install_common() {
	local name
	for name in grow-data rauc-bootloader save-logs; do put 755 "board/common/$name" "$root/usr/lib/retrowaves/$name"; done
	for name in tower station; do
		put 644 "board/common/$name.toml" "$root/usr/lib/retrowaves/$name.toml"
		# What `tower box apply` has found good in the owner's file; nothing there: the box's own settings.
		mkdir -p "$root/etc/retrowaves"
		ln -sfn "/run/retrowaves-box/$name.toml" "$root/etc/retrowaves/$name.toml"
	done
	(cd board/common/rootfs && find . -type f -print) | while read -r name; do
		put 644 "board/common/rootfs/$name" "$root/$name"
	done
	mkdir -p "$root/etc/rauc" "$root/data" "$root/boot/owner"
	sed "s/@BOARD@/$board/" board/common/rauc-system.conf.in >"$root/etc/rauc/system.conf"
	put 644 "$keyring" "$root/etc/rauc/keyring.pem"
}

# IMAGE_VERSION is what updates are compared by.
name_version() {
	local file=$root/usr/lib/os-release
	[ -e "$file" ] || file=$root/etc/os-release
	sed -i -e '/^IMAGE_ID=/d' -e '/^IMAGE_VERSION=/d' "$file"
	printf 'IMAGE_ID=retrowaves-%s\nIMAGE_VERSION=%s\n' "$board" "$version" >>"$file"
}

# Two kinds of log would be written twice, and only one is kept; mDNS is resolved's here.
remove_what_the_box_does_otherwise() {
	rm -f "$root/etc/avahi/services/retrowaves.service"
	rm -rf "$root/usr/share/doc/retrowaves"
}

install_units
install_common
name_version
remove_what_the_box_does_otherwise
