#!/usr/bin/env bash
# Installs the programs, their units and what belongs beside them; or removes them again.
# Settings that are there are kept. Starts nothing: it says how to.
#
# DESTDIR: a folder in whose place / is meant (for packages and images). PREFIX: /usr/local, or /usr.
# The same files are in the package (Cargo.toml, package.metadata.deb): tests/units.rs compares them.
#
# Usage: scripts/install.sh FOLDER_OF_PROGRAMS | --remove
set -euo pipefail

cd "$(dirname "$0")/.."
DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr/local}
LIB=$PREFIX/lib DOC=$PREFIX/share/doc/retrowaves

die() { echo "install: $*" >&2; exit 1; }

# mode, file, where to
list() {
	cat <<-FILES
		755 $programs/tower $PREFIX/bin/tower
		755 $programs/station $PREFIX/bin/station
		644 systemd/tower.service $LIB/systemd/system/tower.service
		644 systemd/station.service $LIB/systemd/system/station.service
		644 systemd/90-retrowaves.preset $LIB/systemd/system-preset/90-retrowaves.preset
		644 systemd/retrowaves.sysusers $LIB/sysusers.d/retrowaves.conf
		644 systemd/retrowaves.tmpfiles $LIB/tmpfiles.d/retrowaves.conf
		644 systemd/retrowaves.dnssd $LIB/systemd/dnssd/retrowaves.dnssd
		644 systemd/retrowaves.logrotate /etc/logrotate.d/retrowaves
		644 systemd/retrowaves.avahi.service /etc/avahi/services/retrowaves.service
		644 systemd/etc/tower.toml /etc/retrowaves/tower.toml
		644 systemd/etc/station.toml /etc/retrowaves/station.toml
		644 docs/tower.toml $DOC/tower.toml
		644 docs/station.toml $DOC/station.toml
		644 README.md $DOC/README.md
		644 docs/install.md $DOC/install.md
		644 docs/configuration.md $DOC/configuration.md
		644 docs/station.md $DOC/station.md
		644 docs/live.md $DOC/live.md
	FILES
}

install_all() {
	local mode file to
	while read -r mode file to; do
		[ -f "$file" ] || die "$file is not there: \`make build\` first"
	done < <(list)
	while read -r mode file to; do
		case "$to" in
		# The owner's: what is there is kept.
		/etc/*) [ ! -e "$DESTDIR$to" ] || continue ;;
		esac
		install -D -m "$mode" "$file" "$DESTDIR$to"
		case "$to" in
		*.service) sed -i "s|^ExecStart=/usr/bin/|ExecStart=$PREFIX/bin/|" "$DESTDIR$to" ;;
		esac
	done < <(list)
}

# Settings, logs and what the station remembers stay.
remove_all() {
	local to
	while read -r _ _ to; do
		case "$to" in
		/etc/retrowaves/*) ;;
		*) rm -f "$DESTDIR$to" ;;
		esac
	done < <(list)
	rmdir --ignore-fail-on-non-empty "$DESTDIR$DOC" 2>/dev/null || true
}

[ $# = 1 ] || { echo "usage: scripts/install.sh FOLDER_OF_PROGRAMS | --remove" >&2; exit 2; }
if [ "$1" = --remove ]; then
	programs=. remove_all
	echo "Removed. Settings are in $DESTDIR/etc/retrowaves, logs in $DESTDIR/var/log/retrowaves still."
	exit
fi
programs=${1%/}
install_all
[ -n "$DESTDIR" ] || cat <<-TEXT
	Installed. To start both now, and at each boot:
	  systemd-sysusers && systemd-tmpfiles --create retrowaves.conf
	  systemctl daemon-reload && systemctl enable --now tower station
TEXT
