#!/usr/bin/env bash
# Installs a package, over itself too, removes and purges it, where no systemd runs: in a copy of this machine that
# is thrown away (an overlay in memory, chroot). Needs root, and what the package depends on.
#
# Usage: scripts/check-deb.sh FILE.deb
set -euo pipefail

die() { echo "check-deb: $*" >&2; exit 1; }

if [ $# != 1 ] || [ ! -f "$1" ]; then
	echo "usage: scripts/check-deb.sh FILE.deb" >&2
	exit 2
fi
[ "$(id -u)" = 0 ] || die "root is needed, to mount and to chroot"
deb=$(realpath "$1")
# A world of mounts of its own: all of them go with this script.
if [ "${CHECK_DEB_INSIDE:-}" != yes ]; then
	exec env CHECK_DEB_INSIDE=yes unshare --mount "$0" "$deb"
fi

over=$(mktemp -d)
mount -t tmpfs tmpfs "$over"
mkdir "$over"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" overlay "$over/root"
root=$over/root
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/srv"
trap 'umount -l "$root" "$over"; rmdir "$over"' EXIT

inside() { chroot "$root" "$@"; }
quiet() { inside "$@" >"$over/said" 2>&1 || { cat "$over/said" >&2; die "failed: $*"; }; }
there() { for path in "$@"; do [ -e "$root$path" ] || die "$path is not there"; done; }
gone() { for path in "$@"; do [ ! -e "$root$path" ] || die "$path is there still"; done; }

cp "$deb" "$root/srv/package.deb"
quiet dpkg -i /srv/package.deb
there /usr/bin/tower /usr/bin/station /etc/retrowaves/tower.toml /var/lib/retrowaves /var/log/retrowaves
inside id -nG retrowaves | grep -qw audio || die "user retrowaves is not in group audio"
for unit in tower station; do
	[ "$(inside systemctl is-enabled $unit)" = enabled ] || die "$unit is not enabled"
done
[ "$(inside runuser -u retrowaves -- tower --version | cut -d' ' -f1)" = tower ] || die "tower does not run"
quiet logrotate --debug /etc/logrotate.d/retrowaves

# What the owner has changed outlives an upgrade.
echo '# mine' >>"$root/etc/retrowaves/tower.toml"
quiet systemctl disable tower
quiet dpkg -i /srv/package.deb
grep -q '^# mine' "$root/etc/retrowaves/tower.toml" || die "an upgrade has lost settings"
[ "$(inside systemctl is-enabled tower || true)" = disabled ] || die "an upgrade has enabled what was disabled"

# What the programs have written outlives a removal, and no purge; music outlives both.
mkdir "$root/srv/music"
touch "$root/srv/music/song.mp3" "$root/var/lib/retrowaves/mine.mp3" \
	"$root/var/lib/retrowaves/station.state.json" "$root/var/log/retrowaves/tower.log"
quiet dpkg -r retrowaves
gone /usr/bin/tower /usr/lib/systemd/system/tower.service
there /etc/retrowaves/tower.toml /var/lib/retrowaves/station.state.json /var/log/retrowaves/tower.log
quiet dpkg -P retrowaves
gone /etc/retrowaves /var/log/retrowaves /var/lib/retrowaves/station.state.json /etc/logrotate.d/retrowaves \
	/etc/systemd/system/multi-user.target.wants/station.service
there /srv/music/song.mp3 /var/lib/retrowaves/mine.mp3
echo "check-deb: $(basename "$deb"): installed, upgraded, removed and purged, and nothing is left but what should be"
