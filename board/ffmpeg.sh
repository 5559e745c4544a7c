#!/usr/bin/env bash
# Builds the box's FFmpeg from Debian's source package with exactly the options of
# board/ffmpeg-options: for the boot tests (aarch64), and to prove the list (native).
#
# Usage: board/ffmpeg.sh [aarch64|native] [DIR]      (DIR: target/ffmpeg-aarch64, target/ffmpeg-native)
#
# Leaves DIR/ffmpeg, stripped; it needs libmp3lame.so.0 and libc. Does nothing if it is
# there and the list has not changed. The machine's own apt configuration is read, never
# changed; installed are only a compiler and make, where they are missing.
set -euo pipefail

SUITE=trixie
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-aarch64}
out=${2:-$here/../target/ffmpeg-$target}

say() { echo "ffmpeg.sh: $*" >&2; }
die() { say "$@"; exit 1; }

configure=()
case "$target" in
aarch64)
	arch=arm64 triplet=aarch64-linux-gnu
	packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross make pkg-config xz-utils)
	configure=(--enable-cross-compile "--cross-prefix=$triplet-" --arch=aarch64 --target-os=linux)
	;;
native)
	arch=$(dpkg --print-architecture) triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)
	packages=(gcc libc6-dev make pkg-config xz-utils)
	# Without it nasm would be needed; what is measured here is the list, not the speed.
	configure=(--disable-x86asm)
	;;
*) die "usage: board/ffmpeg.sh [aarch64|native] [DIR]" ;;
esac

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$out/build
stamp=$(cat "$here/ffmpeg-options" "$here/ffmpeg.sh" | sha256sum | cut -d' ' -f1)
if [ -x "$out/ffmpeg" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_tools() {
	local missing=() package
	for package in "${packages[@]}"; do
		dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return
	say "installing: ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "${missing[@]}" </dev/null >&2
}

# Where this machine has Debian's main archive from: the first URI that is followed by a Debian suite.
debian_uri() {
	{
		find /etc/apt/sources.list /etc/apt/sources.list.d -type f \( -name '*.list' -o -name '*.sources' \) \
			-exec cat {} + 2>/dev/null || true
	} |
		awk '/^deb / { for (i = 2; i < NF; i++) if ($i ~ /^[a-z+]+:\/\/.*debian\/?$/) { print $i; exit } }
			/^URIs:/ && $2 ~ /debian\/?$/ { print $2; exit }'
}

# apt with its own lists below the work folder, for one suite and one architecture.
private_apt() {
	"$1" -q -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State="$work/apt/state" -o Dir::Cache="$work/apt/cache" -o APT::Architecture="$arch" \
		-o APT::Architectures="$arch" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root "${@:2}"
}

fetch_sources() {
	local uri
	uri=$(debian_uri)
	[ -n "$uri" ] || die "no archive of Debian among the sources of apt"
	mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/deb" "$work/sysroot"
	local signed='signed-by=/usr/share/keyrings/debian-archive-keyring.gpg'
	printf '%s [%s] %s %s main\n' deb "$signed" "$uri" "$SUITE" deb-src "$signed" "$uri" "$SUITE" >"$work/apt/sources.list"
	private_apt apt-get update >&2
	(
		cd "$work/deb"
		private_apt apt-get download libmp3lame0 libmp3lame-dev >&2
		private_apt apt-get source --download-only ffmpeg >&2
		local deb
		for deb in *.deb; do dpkg -x "$deb" "$work/sysroot"; done
	)
	tar -xf "$work"/deb/ffmpeg_*.orig.tar.xz -C "$work"
}

# --enable-decoder=a,b,… of a key of the list; nothing for an empty one.
enable() {
	local names=$2
	[ -z "$names" ] || configure+=("--enable-$1=${names// /,}")
}

build() {
	# shellcheck source=board/ffmpeg-options
	. "$here/ffmpeg-options"
	enable encoder "$ENCODERS"
	enable decoder "$DECODERS"
	enable muxer "$MUXERS"
	enable demuxer "$DEMUXERS"
	enable parser "$PARSERS"
	enable bsf "$BSFS"
	enable protocol "$PROTOCOLS"
	enable filter "$FILTERS"
	cd "$work"/ffmpeg-*/
	# LAME may be of a newer system than the compiler's C library: it is linked at run time, there.
	./configure --prefix=/usr --pkg-config=pkg-config --disable-everything --disable-autodetect --disable-doc \
		--disable-debug --disable-network --disable-avdevice --disable-swscale --disable-ffplay --disable-ffprobe \
		--enable-libmp3lame "--extra-cflags=-I$work/sysroot/usr/include" \
		"--extra-ldflags=-L$work/sysroot/usr/lib/$triplet -Wl,--unresolved-symbols=ignore-in-shared-libs" \
		"${configure[@]}" >"$work/configure.log" || { tail -n 3 ffbuild/config.log >&2; die "configure failed"; }
	# A name that FFmpeg does not know is passed over, with a warning.
	if grep 'did not match anything' "$work/configure.log" ffbuild/config.log >&2; then
		die "board/ffmpeg-options has a name that FFmpeg does not know"
	fi
	nice -n 15 make -s "-j$(nproc)" ffmpeg >"$work/make.log" 2>&1 || { tail -n 20 "$work/make.log" >&2; die "make failed"; }
	install -m 755 ffmpeg "$out/ffmpeg"
}

start=$SECONDS
install_tools
rm -rf "$work"
fetch_sources
(build)
rm -rf "$work/apt"
echo "$stamp" >"$out/stamp"
say "$out/ffmpeg: $(stat -c %s "$out/ffmpeg") bytes, in $((SECONDS - start)) s"
