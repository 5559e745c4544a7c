# shellcheck shell=bash
# What the scripts of the guest share: where things lie, and Debian's packages of another release and
# architecture, fetched by this machine's own apt beside its own lists, which it must never change.
#
# The guest is a Debian of its own kind (it stands for the image that Buildroot makes), so that the
# box can be booted for real on any machine with QEMU.

set -euo pipefail

GUEST_RELEASE=trixie
GUEST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GUEST_WORK=${GUEST_WORK:-$GUEST_ROOT/target/guest}
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export GUEST_RELEASE GUEST_ROOT GUEST_WORK PATH

guest_say() { echo "guest: $*" >&2; }
guest_die() {
	guest_say "$@"
	exit 1
}

# The mirror that this machine takes its Debian from: both forms of apt's lists.
guest_mirror() {
	local found
	found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		awk '$1 == "URIs:" { print $2 }
			$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; break } }' |
		grep '/debian/*$' | head -n 1)
	[ -n "$found" ] || guest_die "no Debian mirror was found in /etc/apt"
	echo "$found"
}

# apt for the guest: its own state, nothing of this machine's. The first call fetches the list.
guest_apt() {
	local apt=$GUEST_WORK/apt
	if [ ! -e "$apt/updated" ]; then
		mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
		touch "$apt/status"
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(guest_mirror) $GUEST_RELEASE main" \
			>"$apt/sources.list"
		cat >"$apt/apt.conf" <<-END
			APT::Architecture "arm64"; APT::Architectures:: "arm64"; APT::Sandbox::User "root";
			Dir::State "$apt/state"; Dir::State::status "$apt/status"; Dir::Cache "$apt/cache";
			Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "$apt/parts";
			Dir::Etc::preferencesparts "$apt/parts"; Acquire::Languages "none";
			Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		END
		APT_CONFIG=$apt/apt.conf timeout 300 apt-get -q update >&2
		touch "$apt/updated"
	fi
	APT_CONFIG=$apt/apt.conf timeout 600 "$@"
}

# Unpacks packages of the guest's release into a folder, without their scripts: FOLDER PACKAGE...
guest_unpack() {
	local into=$1 from deb
	shift
	from=$(mktemp -d)
	(cd "$from" && guest_apt apt-get download "$@" >&2)
	mkdir -p "$into"
	for deb in "$from"/*.deb; do dpkg-deb -x "$deb" "$into"; done
	rm -rf "$from"
}
