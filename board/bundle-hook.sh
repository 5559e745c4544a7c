#!/bin/sh
# RAUC's hook inside every bundle, run on the box before and after the slot is written.
#
# install-check: refuses a bundle of another board (RAUC leaves its own check to this one) and one that
# is older than what runs, also for who calls `rauc install` by hand. post-install: the owner's
# usercfg.txt (sound HATs) goes with the new boot partition. It must never touch the slot that runs.
set -eu

# Exit status 10 is RAUC's for: refused, and stderr says why.
refuse() {
	echo "$@" >&2
	exit 10
}

# 1.10.2 is later than 1.9.9; 1.2.0 is later than 1.2.0-rc1. True if $1 is earlier than $2.
is_older() {
	awk -v a="$1" -v b="$2" 'BEGIN {
		na = split(a, as, "-"); nb = split(b, bs, "-"); split(as[1], x, "."); split(bs[1], y, ".")
		for (i = 1; i <= 3; i++) if (x[i] + 0 != y[i] + 0) exit !(x[i] + 0 < y[i] + 0)
		if (na > 1 && nb == 1) exit 0
		if (na > 1 && nb > 1) exit !(as[2] "" < bs[2] "")
		exit 1
	}'
}

install_check() {
	[ "${RAUC_MF_COMPATIBLE-}" = "${RAUC_SYSTEM_COMPATIBLE-}" ] ||
		refuse "this update is for ${RAUC_MF_COMPATIBLE-another board}, this box is ${RAUC_SYSTEM_COMPATIBLE-unknown}"
	running=$(sed -n 's/^IMAGE_VERSION="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "${OS_RELEASE:-/etc/os-release}")
	[ -n "$running" ] || refuse "this box does not say which version it is"
	[ -n "${RAUC_MF_VERSION-}" ] || refuse "this update does not say which version it is"
	! is_older "$RAUC_MF_VERSION" "$running" || refuse "this update is older ($RAUC_MF_VERSION) than what runs ($running)"
}

# The boot partition that runs is 2 or 3, the one that was written is the other: by the disk's signature.
keep_usercfg() {
	case "$(cat /proc/cmdline)" in
	*rauc.slot=A*) from=52574156-02 ;;
	*rauc.slot=B*) from=52574156-03 ;;
	*) return 0 ;;
	esac
	mounted=$(mktemp -d)
	if mount -t vfat -o ro "/dev/disk/by-partuuid/$from" "$mounted"; then
		# A few lines of text; what is longer is none.
		if [ -f "$mounted/usercfg.txt" ] && [ "$(wc -c <"$mounted/usercfg.txt")" -le 4096 ]; then
			cp "$mounted/usercfg.txt" "$RAUC_SLOT_MOUNT_POINT/usercfg.txt"
		fi
		umount "$mounted"
	fi
	rmdir "$mounted"
}

case "${1-}" in
install-check) install_check ;;
slot-post-install) keep_usercfg ;;
*) ;;
esac
