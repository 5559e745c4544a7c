#!/usr/bin/env bash
# Any verb of cargo for a Raspberry Pi with a 64-bit system, from another computer:
#
#   board/cross.sh build --release        board/cross.sh test --lib
#
# What it needs is installed by `scripts/setup.sh cross`. What it makes is in target/cross.
# `board/cross.sh --rustc` only says which compiler it takes, and fails if there is none.
#
# All of this is in variables and not in .cargo/config.toml, which also holds where a Pi builds for
# itself (it needs no QEMU to run its own programs) and inside Buildroot (which has its own libraries).
set -euo pipefail

cd "$(dirname "$0")/.."
TARGET=aarch64-unknown-linux-gnu

# rustc says where the standard library would be, whether it is there or not.
has_std() {
	local folder
	folder=$("$1" --print target-libdir --target "$TARGET" 2>/dev/null) || return 1
	compgen -G "$folder/libstd-*.rlib" >/dev/null
}

# This machine's own compiler if it can; else that of Debian, whose library is a package.
rustc_for_target() {
	local rustc
	for rustc in rustc /usr/bin/rustc; do
		has_std "$rustc" && echo "$rustc" && return
	done
	echo "cross: no rustc here has a standard library for $TARGET: scripts/setup.sh cross installs one" >&2
	return 1
}

[ $# -gt 0 ] || { echo "usage: board/cross.sh VERB [ARGUMENTS OF CARGO]" >&2; exit 2; }
RUSTC=$(rustc_for_target)
if [ "$1" = --rustc ]; then
	echo "$RUSTC"
	exit
fi

export RUSTC
# A folder of its own: in the usual one, each change of compiler would build everything anew.
export CARGO_TARGET_DIR=target/cross
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
export PKG_CONFIG_ALLOW_CROSS_aarch64_unknown_linux_gnu=1
export PKG_CONFIG_PATH_aarch64_unknown_linux_gnu=/usr/lib/aarch64-linux-gnu/pkgconfig
verb=$1
shift
exec cargo "$verb" --target "$TARGET" "$@"
