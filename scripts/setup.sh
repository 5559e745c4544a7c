#!/usr/bin/env bash
# Installs what a make target needs, if it is missing, and says so. Asks nothing,
# changes nothing that is there; running it again does nothing.
#
# Usage: scripts/setup.sh run|test|clients|soak|bench|fuzz|cross|test-aarch64|deb|deb-arm64|guest
set -euo pipefail

RUST_MIN=1.88

say() { echo "setup: $*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# program:Debian package, or lib/name (as pkg-config has it):Debian package with its headers
needs_build=(cc:build-essential pkg-config:pkg-config lib/alsa:libasound2-dev)
needs_run=(ffmpeg:ffmpeg "${needs_build[@]}")
needs_test=("${needs_run[@]}" icecast2:icecast2 mpg123:mpg123 curl:curl valgrind:valgrind systemd-analyze:systemd logrotate:logrotate
	shellcheck:shellcheck genimage:genimage mkfs.vfat:dosfstools mcopy:mtools mke2fs:e2fsprogs mksquashfs:squashfs-tools
	veritysetup:cryptsetup-bin strace:strace rauc:rauc openssl:openssl xz:xz-utils sfdisk:fdisk promtool:prometheus)
# Players, and the parts of two of them, which are files: gst/name, vlc/name.
needs_clients=("${needs_run[@]}" python3:python3 curl:curl mpv:mpv mpg123:mpg123 cvlc:vlc-bin vlc/http:vlc-plugin-base
	gst-launch-1.0:gstreamer1.0-tools gst/soup:gstreamer1.0-plugins-good gst/audioconvert:gstreamer1.0-plugins-base
	mpd:mpd mpc:mpc chromium:chromium firefox-esr:firefox-esr)
needs_soak=("${needs_test[@]}" cyclictest:rt-tests stress-ng:stress-ng)
needs_bench=("${needs_run[@]}" icecast2:icecast2)
needs_fuzz=("${needs_build[@]}" c++:build-essential)
needs_cross=(aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu aarch64-linux-gnu-readelf:binutils-aarch64-linux-gnu pkg-config:pkg-config)
# FFmpeg runs as the host's own beside tests that are emulated.
needs_test_aarch64=("${needs_cross[@]}" qemu-aarch64-static:qemu-user-static ffmpeg:ffmpeg curl:curl)
needs_deb=("${needs_build[@]}" dpkg-deb:dpkg)
# A box in QEMU, and all that its card is made of.
needs_guest=(qemu-system-aarch64:qemu-system-arm qemu-img:qemu-utils mmdebstrap:mmdebstrap modprobe:kmod cpio:cpio
	python3:python3 ffmpeg:ffmpeg genimage:genimage mkfs.vfat:dosfstools mcopy:mtools mke2fs:e2fsprogs
	mksquashfs:squashfs-tools veritysetup:cryptsetup-bin rauc:rauc openssl:openssl xz:xz-utils sfdisk:fdisk
	systemd-sysusers:systemd zstd:zstd)

case "${1:-}" in
run) needs=("${needs_run[@]}") ;;
test) needs=("${needs_test[@]}") ;;
clients) needs=("${needs_clients[@]}") ;;
soak) needs=("${needs_soak[@]}") ;;
bench) needs=("${needs_bench[@]}") ;;
fuzz) needs=("${needs_fuzz[@]}") ;;
cross) needs=("${needs_cross[@]}") ;;
test-aarch64) needs=("${needs_test_aarch64[@]}") ;;
deb) needs=("${needs_deb[@]}") ;;
guest) needs=("${needs_guest[@]}") ;;
deb-arm64) needs=("${needs_deb[@]}" "${needs_cross[@]}") ;;
*) die "usage: scripts/setup.sh run|test|clients|soak|bench|fuzz|cross|test-aarch64|deb|deb-arm64|guest" ;;
esac

# cyclictest and others lie in sbin, which is not in everybody's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif has sudo; then
		sudo "$@"
	else
		die "root is needed for: $* (there is no sudo here)"
	fi
}

apt_install() {
	local lists=(/var/lib/apt/lists/*_Packages*)
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
	if [ ! -e "${lists[0]}" ]; then
		as_root "${apt[@]}" update </dev/null >&2
	fi
	# A list that is too old names packages that are gone: then a new one, once.
	as_root "${apt[@]}" install --no-install-recommends "$@" </dev/null >&2 || {
		as_root "${apt[@]}" update </dev/null >&2
		as_root "${apt[@]}" install --no-install-recommends "$@" </dev/null >&2
	}
}

# Of some packages the program is wanted and not the service (Icecast's would take port 8000, MPD's 6600), which is
# neither started (Debian's way to say so is policy-rc.d) nor enabled.
install_without_service() {
	local policy=/usr/sbin/policy-rc.d mine=
	if [ ! -e "$policy" ]; then
		mine=$policy
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
	local status=0
	apt_install "$1" || status=$?
	[ -z "$mine" ] || as_root rm -f "$mine"
	if [ -d /run/systemd/system ]; then
		as_root systemctl disable --quiet "$1" >&2 || true
		as_root systemctl disable --quiet "$1.socket" 2>/dev/null || true
	fi
	return $status
}

# Headers are no program, and where they lie differs: pkg-config knows, as it does for the build.
# Parts of players lie below the folder of the machine's architecture.
is_there() {
	case "$1" in
	lib/*) pkg-config --exists "${1#lib/}" 2>/dev/null ;;
	gst/*) compgen -G "/usr/lib/*/gstreamer-1.0/libgst${1#gst/}.so" >/dev/null ;;
	vlc/*) compgen -G "/usr/lib/*/vlc/plugins/*/lib${1#vlc/}_plugin.so" >/dev/null ;;
	*) has "$1" ;;
	esac
}

install_missing() {
	local missing=() packages=() need
	for need in "${needs[@]}"; do
		is_there "${need%%:*}" && continue
		missing+=("${need%%:*}")
		[[ " ${packages[*]-} " == *" ${need##*:} "* ]] || packages+=("${need##*:}")
	done
	[ ${#missing[@]} = 0 ] && return
	say "missing: ${missing[*]}"
	has apt-get || die "install these first (there is no apt-get here): ${missing[*]}"
	say "installing: ${packages[*]}"
	local plain=()
	for need in "${packages[@]}"; do
		case $need in
		icecast2 | prometheus | mpd) install_without_service "$need" ;;
		*) plain+=("$need") ;;
		esac
	done
	[ ${#plain[@]} = 0 ] || apt_install "${plain[@]}"
	for need in "${missing[@]}"; do
		is_there "$need" || die "$need is still missing after installing ${packages[*]}"
	done
}

rust_is_new_enough() {
	has cargo && has rustc || return 1
	local version
	version=$(cargo --version | cut -d' ' -f2)
	[ "$(printf '%s\n' "$RUST_MIN" "$version" | sort -V | head -n1)" = "$RUST_MIN" ]
}

# What Debian would install for this package; empty if it has none.
candidate() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" { print $2 }'; }

# A Rust that is there and too old is not touched: it may be wanted for something else.
check_rust() {
	rust_is_new_enough && return
	local how="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
	has cargo && die "$(cargo --version) is too old: $RUST_MIN or later is needed. \`rustup update\`, or: $how"
	say "missing: cargo (Rust $RUST_MIN or later)"
	if has apt-get; then
		[ -n "$(candidate cargo)" ] || as_root apt-get -q update </dev/null >&2
		# Debian 12 has a current Rust for its browsers; Debian 13 and later have rustup.
		if dpkg --compare-versions "$(candidate cargo-web)" ge "$RUST_MIN" 2>/dev/null; then
			say "installing: cargo-web, rustc-web"
			apt_install cargo-web rustc-web
		elif [ -n "$(candidate rustup)" ]; then
			say "installing: rustup, and by it the stable toolchain"
			apt_install rustup
			rustup default stable >&2
		fi
	fi
	rust_is_new_enough || die "install Rust $RUST_MIN or later (https://rustup.rs): $how"
}

check_lints() {
	cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
	has rustup || die "cargo fmt and cargo clippy are missing: install rustfmt and clippy"
	say "installing: rustfmt, clippy"
	rustup component add rustfmt clippy >&2
}

# What a Raspberry Pi's programs are linked with: Debian's packages for arm64, beside this machine's
# own. Where rustc has no standard library for it, that of Debian's browsers does, or rustup gets it.
check_cross() {
	local packages=() cross
	cross=$(dirname "$0")/../board/cross.sh
	[ -e /usr/lib/aarch64-linux-gnu/pkgconfig/alsa.pc ] || packages+=(libasound2-dev:arm64 libc6-dev-arm64-cross)
	if ! "$cross" --rustc >/dev/null 2>&1; then
		if [ -n "$(candidate rustc-web)" ]; then
			packages+=(rustc-web libstd-rust-web-dev:arm64)
		elif has rustup; then
			rustup target add aarch64-unknown-linux-gnu >&2
		fi
	fi
	if [ ${#packages[@]} = 0 ]; then "$cross" --rustc >/dev/null && return; fi
	has apt-get || die "install these first, for arm64 (there is no apt-get here): ${packages[*]}"
	say "installing: ${packages[*]}"
	if ! dpkg --print-foreign-architectures | grep -qx arm64; then
		as_root dpkg --add-architecture arm64
		as_root apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >&2
	fi
	apt_install "${packages[@]}"
	"$cross" --rustc >/dev/null
}

check_cargo_deb() {
	has cargo-deb && return
	say "installing: cargo-deb"
	cargo install cargo-deb --locked >&2
}

check_fuzzer() {
	has rustup || die "fuzzing needs nightly Rust, by rustup (https://rustup.rs)"
	if ! rustup run nightly cargo --version >/dev/null 2>&1; then
		say "installing: nightly Rust"
		rustup toolchain install nightly --profile minimal >&2
	fi
	if ! has cargo-fuzz; then
		say "installing: cargo-fuzz"
		cargo install cargo-fuzz --locked >&2
	fi
}

# Debian 12's QEMU is older than what the guests were tried with: its backports have a newer one, at the mirror
# that is used already. Only this package is taken from there.
add_backports() {
	has qemu-system-aarch64 && return
	grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || return 0
	if apt-cache madison qemu-system-arm | grep -q bookworm-backports; then
		backports
		return
	fi
	local mirror
	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		awk '$1 == "URIs:" { print $2 } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; break } }' |
		grep '/debian/*$' | head -n 1)
	[ -n "$mirror" ] || die "no Debian mirror was found in /etc/apt"
	echo "deb $mirror bookworm-backports main" | as_root tee /etc/apt/sources.list.d/retrowaves-backports.list >/dev/null
	as_root apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >&2
	backports
}

backports() {
	say "installing: qemu-system-arm from Debian's backports"
	apt_install -t bookworm-backports qemu-system-arm qemu-utils
}

# Players are run by a user who may nothing: VLC and browsers refuse to be root's. Who is not root
# runs them as himself.
check_clients_user() {
	[ "$(id -u)" = 0 ] || return 0
	id -u retrowaves-clients >/dev/null 2>&1 && return
	say "making: the user retrowaves-clients"
	useradd --system --no-create-home --shell /usr/sbin/nologin retrowaves-clients
}

[ "$1" != guest ] || add_backports
install_missing
check_rust
case "$1" in
test) check_lints ;;
clients) check_clients_user ;;
fuzz) check_fuzzer ;;
cross | test-aarch64) check_cross ;;
deb) check_cargo_deb ;;
deb-arm64) check_cross && check_cargo_deb ;;
esac
