#!/usr/bin/env bash
# The guest's root as a folder: Debian's packages (board/guest/base.sh), what their scripts would have done,
# the modules that a guest needs, and Retrowaves, installed by the same scripts as in the image of Buildroot:
# scripts/install.sh, then board/install-box.sh, then the presets. It must never hold anything that helps the
# box to start; what is added is the test's own shell on a second console, a quicker setting of LAME, and a
# wider bound of real-time work (tests/box/shell.sh, ffmpeg.sh, tower-slow.conf).
#
# Usage: board/guest/rootfs.sh TREE VERSION KEYRING
set -euo pipefail
# shellcheck source=board/guest/lib.sh
. "$(dirname "$0")/lib.sh"

tree=$1 image_version=$2 keyring=$3
kernel=$GUEST_WORK/kernel
version=$(cat "$kernel/version")
rm -rf "$tree"
cp -a --reflink=auto "$GUEST_WORK/base" "$tree"

finish_debian() {
	local etc=$tree/etc
	cp "$tree/usr/share/base-passwd/passwd.master" "$etc/passwd"
	cp "$tree/usr/share/base-passwd/group.master" "$etc/group"
	sed 's/:.*/:*:20000:0:99999:7:::/' "$etc/passwd" >"$etc/shadow"
	sed 's/:.*/:*::/' "$etc/group" >"$etc/gshadow"
	: >"$etc/machine-id"
	echo retrowaves >"$etc/hostname"
	echo '127.0.0.1 localhost' >"$etc/hosts"
	ln -sfn ../run/systemd/resolve/stub-resolv.conf "$etc/resolv.conf"
	ln -sfn /proc/self/mounts "$etc/mtab"
	[ -e "$tree/usr/bin/sh" ] || ln -s dash "$tree/usr/bin/sh"
	ln -sfn /usr/bin/mawk "$tree/usr/bin/awk"
	printf '%s\n' 'passwd: files systemd' 'group: files systemd' 'hosts: files resolve dns' >"$etc/nsswitch.conf"
	rm -rf "$tree"/var/cache/apt "$tree"/var/lib/apt "${tree:?}"/boot/* "$tree"/usr/share/{doc,man,locale,bash-completion,zsh}
}

install_modules() {
	local module path wanted
	for module in autofs4 snd-aloop loop squashfs dm_verity ext4 vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 \
		virtio_net virtio_rng virtio_console i6300esb softdog overlay \
		dwc2 cdc_ether rndis_host bcm2835_wdt bcm2835-rng raspberrypi-hwmon; do
		modprobe -d "$kernel/usr" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }' || true
	done | sort -u >"$GUEST_WORK/modules"
	while read -r path; do
		wanted=$tree/usr/lib/modules/$version/${path#*"/$version/"}
		mkdir -p "$(dirname "$wanted")"
		cp "$path" "$wanted"
	done <"$GUEST_WORK/modules"
	cp "$kernel/usr/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$tree/usr/lib/modules/$version/"
	depmod -b "$tree/usr" "$version"
}

install_retrowaves() {
	local programs=$GUEST_ROOT/target/cross/aarch64-unknown-linux-gnu/release
	DESTDIR=$tree PREFIX=/usr "$GUEST_ROOT/scripts/install.sh" "${GUEST_PROGRAMS:-$programs}"
	install -m 755 "${GUEST_FFMPEG:-$GUEST_ROOT/target/ffmpeg-aarch64/ffmpeg}" "$tree/usr/bin/ffmpeg"
	# Buildroot's skeleton has these in memory too.
	printf '%s\n' 'tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0' 'tmpfs /var tmpfs mode=0755,nosuid,nodev 0 0' >"$tree/etc/fstab"
	"$GUEST_ROOT/board/install-box.sh" "$tree" virt "$image_version" "$keyring"
}

choose_units() {
	local unit
	systemctl --root="$tree" --quiet set-default multi-user.target
	systemctl --root="$tree" --quiet preset-all 2>/dev/null
	# What only a system does that is installed on the place (the image has none of it), and log-ins.
	for unit in systemd-hwdb-update.service ldconfig.service getty@.service serial-getty@.service console-getty.service \
		systemd-networkd-persistent-storage.service systemd-networkd-wait-online.service apt-daily.timer \
		apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer logrotate.timer \
		systemd-firstboot.service chronyd-restricted.service chrony-wait.service ssh.service ssh.socket sshd-keygen.service; do
		ln -sfn /dev/null "$tree/etc/systemd/system/$unit"
	done
}

install_test_shell() {
	install -m 755 "$GUEST_ROOT/tests/box/shell.sh" "$tree/usr/lib/retrowaves-test-shell"
	install -m 755 "$GUEST_ROOT/tests/box/ffmpeg.sh" "$tree/usr/lib/retrowaves-test-ffmpeg"
	install -m 644 "$GUEST_ROOT/tests/box/retrowaves-test-shell.service" "$tree/usr/lib/systemd/system/"
	install -D -m 644 "$GUEST_ROOT/tests/box/tower-slow.conf" "$tree/usr/lib/systemd/system/tower.service.d/slow.conf"
	mkdir -p "$tree/etc/systemd/system/sysinit.target.wants"
	ln -sfn /usr/lib/systemd/system/retrowaves-test-shell.service \
		"$tree/etc/systemd/system/sysinit.target.wants/retrowaves-test-shell.service"
}

finish_debian
install_modules
install_retrowaves
# Chrony reads another place in Debian, and its user is made by a script of its package.
mkdir -p "$tree/etc/chrony"
ln -sfn ../chrony.conf "$tree/etc/chrony/chrony.conf"
echo 'u _chrony - "Chrony" /var/lib/chrony' >"$tree/usr/lib/sysusers.d/chrony.conf"
# `u!` (a locked user) is newer than the systemd-sysusers of some machines that build this.
sed -i 's/^u! /u /' "$tree"/usr/lib/sysusers.d/*.conf
systemd-sysusers --root="$tree" 2>/dev/null
choose_units
install_test_shell
