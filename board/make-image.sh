#!/usr/bin/env bash
# Makes the card image and the update bundle of one board, from a root file system and the files of
# its boot partition. Runs at the end of a Buildroot build, and without Buildroot for the tests.
#
# Usage: board/make-image.sh --board rpi4 --root DIR|SQUASHFS --boot DIR --version V --out DIR
#                            --key PEM --cert PEM --keyring PEM [--release] [--uncompressed] [--cmdline WORDS]
#
#   --root          a folder (as root: owners are taken as they are), or a finished squashfs
#   --boot          Image, *.dtb, overlays/, the firmware's files, and initrd if there is one
#   --keyring       what the box itself trusts; the bundle is checked against it
#   --release       refuses a development key
#   --uncompressed  no .img.xz, for the tests
#
# Leaves in DIR: retrowaves-BOARD-V.img, .img.xz, .raucb, and SHA256SUMS. It must never write an image
# whose command line and root do not belong together, and it touches nothing outside DIR.
set -euo pipefail

IMAGE_XZ_BYTES_MAX=200000000
BLOCK_BYTES=4096
SECTOR_BYTES=512
BOOT_BYTES=$((64 << 20))
ROOT_BYTES_MAX=$((512 << 20))
here=$(cd "$(dirname "$0")" && pwd)
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { echo "make-image: $*" >&2; }
die() { say "$@"; exit 1; }

board='' root='' boot='' version='' key='' cert='' keyring='' out='' release=no compressed=yes words=''
while [ $# -gt 0 ]; do
	case "$1" in
	--board) board=$2 && shift 2 ;;
	--root) root=$2 && shift 2 ;;
	--boot) boot=$2 && shift 2 ;;
	--version) version=$2 && shift 2 ;;
	--key) key=$2 && shift 2 ;;
	--cert) cert=$2 && shift 2 ;;
	--keyring) keyring=$2 && shift 2 ;;
	--out) out=$2 && shift 2 ;;
	--cmdline) words=$2 && shift 2 ;;
	--release) release=yes && shift ;;
	--uncompressed) compressed=no && shift ;;
	*) die "what is $1? The head of this script says how it is called" ;;
	esac
done
for name in board root boot version key cert keyring out; do
	[ -n "${!name}" ] || die "--$name is missing"
done
[ -e "$here/$board/board.conf" ] || die "no board $board: there is no $here/$board/board.conf"
for name in root boot key cert keyring; do
	[ -e "${!name}" ] || die "--$name ${!name}: not there"
done
for tool in mksquashfs unsquashfs veritysetup genimage mkfs.vfat mcopy mke2fs rauc openssl xz; do
	command -v "$tool" >/dev/null || die "$tool is missing (Debian: squashfs-tools cryptsetup-bin genimage dosfstools mtools e2fsprogs rauc openssl xz-utils)"
done
# shellcheck source=board/rpi4/board.conf
. "$here/$board/board.conf"

name=retrowaves-$board-$version
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$out/work-$board
rm -rf "$work"
mkdir -p "$work/images" "$work/boot" "$work/owner/retrowaves" "$work/bundle" "$work/empty"

# Where the signature's certificate or who vouches for it says that it is for development.
is_development() {
	openssl x509 -in "$1" -noout -subject -issuer | grep -qi development
}

check_key() {
	openssl verify -purpose smimesign -CAfile "$keyring" "$cert" >/dev/null 2>&1 ||
		die "the box would not trust this signature: --cert does not fit --keyring"
	if is_development "$cert" || is_development "$keyring"; then
		[ "$release" = no ] || die "a release is not signed with a development key, and does not trust one (board/keys.sh)"
		say "signed with a development key: not for release"
	fi
}

# Salt and UUIDs are no secrets: they come from the name.

# squashfs, padded to whole blocks by its maker.
make_squashfs() {
	if [ -d "$root" ]; then
		mksquashfs "$root" "$work/images/root.img" -noappend -no-progress -quiet -comp zstd -b 128K -no-exports >&2
	else
		cp "$root" "$work/images/root.img"
	fi
	truncate -s "%$BLOCK_BYTES" "$work/images/root.img"
}

# What the root calls itself is what `tower update` compares.
check_version() {
	local said
	said=$({ unsquashfs -cat "$work/images/root.img" usr/lib/os-release 2>/dev/null ||
		unsquashfs -cat "$work/images/root.img" etc/os-release; } | sed -n 's/^IMAGE_VERSION="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p')
	[ "$said" = "$version" ] || die "the root's os-release says IMAGE_VERSION=${said:-nothing}, not $version"
}

# Hashes behind the squashfs; the table by which the kernel (CONFIG_DM_INIT) makes the verified root of it.
make_verity() {
	local image=$work/images/root.img data_bytes salt root_hash
	data_bytes=$(stat -c %s "$image")
	data_blocks=$((data_bytes / BLOCK_BYTES))
	salt=$(printf '%s' "$name" | sha256sum | cut -d' ' -f1)
	root_hash=$(veritysetup format --no-superblock --salt="$salt" --hash=sha256 --hash-offset="$data_bytes" \
		--data-blocks="$data_blocks" "$image" "$image" | awk '/^Root hash:/ { print $3 }')
	[ ${#root_hash} = 64 ] || die "veritysetup gave no root hash"
	veritysetup verify --no-superblock --salt="$salt" --hash=sha256 --hash-offset="$data_bytes" \
		--data-blocks="$data_blocks" "$image" "$image" "$root_hash" || die "the tree of hashes does not fit the root"
	[ "$(stat -c %s "$image")" -le $ROOT_BYTES_MAX ] || die "the root has $(stat -c %s "$image") bytes, at most $ROOT_BYTES_MAX fit"
	verity="$((data_bytes / SECTOR_BYTES)) verity 1 PARTUUID=@ PARTUUID=@ $BLOCK_BYTES $BLOCK_BYTES $data_blocks $data_blocks sha256 $root_hash $salt"
}

# One line for a slot: its name, its partition.
command_line() {
	local partuuid=52574156-$2
	printf '%s %s dm-mod.waitfor=PARTUUID=%s dm-mod.create="root,,,ro,0 %s" root=/dev/dm-0 rauc.slot=%s %s\n' \
		"$CONSOLE" "$(cat "$here/cmdline.txt")" "$partuuid" "${verity//@/$partuuid}" "$1" "$words" | sed 's/ *$//'
}

make_boot() {
	local file
	cp -r "$boot/." "$work/boot"
	[ -e "$work/boot/Image" ] || die "$boot has no Image"
	for file in $FIRMWARE; do [ -e "$work/boot/$file" ] || die "$boot has no $file"; done
	for file in $FIRST_STAGE; do
		[ -e "$work/boot/$file" ] || die "$boot has no $file"
		mv "$work/boot/$file" "$work/owner/"
	done
	cat "$here/$board/config.txt" "$here/config.txt" >"$work/boot/config.txt"
	[ ! -e "$work/boot/initrd" ] || echo 'initramfs initrd followkernel' >>"$work/boot/config.txt"
	rm -f "$work/boot/cmdline.txt"
	command_line A 05 >"$work/boot/cmdline-a.txt"
	command_line B 06 >"$work/boot/cmdline-b.txt"
	cp "$here/usercfg.txt" "$work/boot/"
	fat boot.vfat RW-BOOT 52570002 "$work/boot"
}

make_owner() {
	cp "$here/autoboot.txt" "$work/owner/"
	[ ! -d "$here/common/owner" ] || cp -r "$here/common/owner/." "$work/owner/retrowaves/"
	fat owner.vfat RETROWAVES 52570001 "$work/owner"
}

# fat FILE LABEL SERIAL FOLDER: a FAT of 64 MiB with what is in the folder.
fat() {
	local files=()
	truncate -s $BOOT_BYTES "$work/images/$1"
	mkfs.vfat -F 32 -s 1 -n "$2" -i "$3" "$work/images/$1" >/dev/null
	mapfile -d '' files < <(cd "$4" && find . -mindepth 1 -maxdepth 1 -print0 | LC_ALL=C sort -z)
	(cd "$4" && mcopy -s -p -m -Q -i "$work/images/$1" "${files[@]}" ::/ >&2)
}

# Room to grow to 1 TiB in place, blocks and inodes as for a large disk, since it will be one.
make_data() {
	local uuid
	uuid=$(printf '%s' "$name" | sha256sum | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/')
	mke2fs -q -F -t ext4 -b 4096 -T default -L RW-DATA -U "$uuid" -m 1 -J size=16 \
		-E "resize=$((1 << 28)),hash_seed=$uuid,root_owner=0:0" "$work/images/data.ext4" 64M
}

make_card() {
	(cd "$work" && genimage --config "$here/genimage.cfg" --rootpath "$work/empty" --tmppath "$work/tmp" \
		--inputpath "$work/images" --outputpath "$work/card" >"$work/genimage.log" 2>&1) ||
		{ cat "$work/genimage.log" >&2; die "genimage failed"; }
	mv "$work/card/card.img" "$out/$name.img"
	[ "$compressed" = yes ] || return 0
	xz -T0 -k -f "$out/$name.img"
	local bytes
	bytes=$(stat -c %s "$out/$name.img.xz")
	[ "$bytes" -le $IMAGE_XZ_BYTES_MAX ] || die "the compressed image has $bytes bytes, at most $IMAGE_XZ_BYTES_MAX are promised"
}

make_bundle() {
	cp --reflink=auto "$work/images/root.img" "$work/images/boot.vfat" "$here/bundle-hook.sh" "$work/bundle/"
	cat >"$work/bundle/manifest.raucm" <<-END
		[update]
		compatible=retrowaves-$board
		version=$version

		[bundle]
		format=verity

		[hooks]
		filename=bundle-hook.sh
		hooks=install-check

		[image.bootfs]
		filename=boot.vfat
		hooks=post-install

		[image.rootfs]
		filename=root.img
	END
	rm -f "$out/$name.raucb"
	rauc --cert "$cert" --key "$key" --keyring "$keyring" bundle "$work/bundle" "$out/$name.raucb" >"$work/rauc.log" 2>&1 ||
		{ cat "$work/rauc.log" >&2; die "rauc made no bundle"; }
	# As the box does it.
	rauc --keyring "$keyring" info "$out/$name.raucb" >"$work/rauc.log" 2>&1 ||
		{ cat "$work/rauc.log" >&2; die "the box would not trust this bundle"; }
}

check_key
make_squashfs
check_version
make_verity
make_boot
make_owner
make_data
make_card
make_bundle
rm -rf "$work"
(cd "$out" && sha256sum "$name".* >SHA256SUMS)
say "$board $version: root $((data_blocks * BLOCK_BYTES)) bytes; $(cd "$out" && stat -c '%n %s' "$name".* | paste -sd' ')"
