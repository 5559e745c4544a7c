#!/usr/bin/env bash
# Builds the card's image and the update bundle of one board with an unpacked Buildroot.
#
# Usage: BOARD=rpi4 BUILDROOT=DIR [OUT=DIR] [RT=1] [KEYS=DIR] [RELEASE=1] buildroot/image.sh
#
#   BOARD    rpi3, rpizero2w, rpi4, rpi5          OUT   target/image/BOARD
#   RT=1     a kernel with PREEMPT_RT             KEYS  of board/keys.sh; without: a development key
#   RELEASE=1 refuses a development key
set -euo pipefail

# The release whose options the defconfigs name. Another one may lack some, and says so below.
SERIES=2026.08
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
die() { echo "image: $*" >&2; exit 1; }

board=${BOARD:-} buildroot=${BUILDROOT:-}
[ -e "$here/fragments/$board.fragment" ] ||
	die "which board? BOARD=$(cd "$here/fragments" && echo rpi*.fragment | sed 's/\.fragment//g; s/ /, /g')"
[ -n "$buildroot" ] || die "where is Buildroot? BUILDROOT=DIR, an unpacked release $SERIES (https://buildroot.org/download.html)"
version=$(sed -n 's/^export BR2_VERSION := //p' "$buildroot/Makefile" 2>/dev/null || true)
case "$version" in
$SERIES*) ;;
'') die "$buildroot is no Buildroot: there is no BR2_VERSION in its Makefile" ;;
*) die "$buildroot is Buildroot $version; the defconfigs were checked against $SERIES (https://buildroot.org/download.html)" ;;
esac
buildroot=$(cd "$buildroot" && pwd)
out=${OUT:-$top/target/image/$board}
mkdir -p "$out"
out=$(cd "$out" && pwd)

dist=${RETROWAVES_DIST:-$top/target/dist}
tarball=$dist/retrowaves-$(sed -n 's/^RETROWAVES_VERSION = //p' "$here/package/retrowaves/retrowaves.mk").tar.gz
for file in "$tarball" "$dist/retrowaves/retrowaves.hash"; do
	[ -e "$file" ] || die "$file is not there: \`make dist\` first"
done
export RETROWAVES_DIST=$dist

rt=no release=no
[ -z "${RT:-}" ] || rt=yes
[ -z "${RELEASE:-}" ] || release=yes
if [ -z "${KEYS:-}" ]; then
	[ $release = no ] || die "a release is signed with keys of its own: KEYS=DIR (board/keys.sh)"
	KEYS=$top/target/keys/development
	"$top/board/keys.sh" "$KEYS" --development
fi
keys=$(cd "$KEYS" && pwd)
export RETROWAVES_KEY=$keys/signing.key RETROWAVES_CERT=$keys/signing.pem RETROWAVES_KEYRING=$keys/keyring.pem \
	RETROWAVES_RELEASE=$release

# What `make image` was told is not for the packages that Buildroot builds.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL BOARD BUILDROOT OUT KEYS RELEASE RT
"$here/defconfigs.sh" --check
make -s -C "$buildroot" O="$out" BR2_EXTERNAL="$here" "retrowaves_${board}_defconfig"
if [ $rt = yes ]; then
	sed -i "s|^\(BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES=\".*\)\"|\1 \$(BR2_EXTERNAL_RETROWAVES_PATH)/linux/rt.fragment\"|" "$out/.config"
fi
# A tarball that was made anew keeps its name: what Buildroot has of the old one is taken away.
if ! cmp -s "$dist/retrowaves/retrowaves.hash" "$out/retrowaves.hash"; then
	rm -f "$(make -s -C "$out" printvars VARS=RETROWAVES_DL_DIR | sed 's/^RETROWAVES_DL_DIR=//')/${tarball##*/}"
	rm -rf "$out"/build/retrowaves-*
	cp "$dist/retrowaves/retrowaves.hash" "$out/retrowaves.hash"
fi
make -C "$out"
ls -l "$out"/images/retrowaves-"$board"-*
