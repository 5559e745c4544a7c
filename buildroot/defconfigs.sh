#!/usr/bin/env bash
# Writes configs/retrowaves_BOARD_defconfig from the common fragment and each board's, so that Buildroot's own
# `make BR2_EXTERNAL=… retrowaves_rpi4_defconfig` works. With --check: says which are not what the fragments say.
#
# Usage: buildroot/defconfigs.sh [--check]
set -euo pipefail

cd "$(dirname "$0")"
status=0
for fragment in fragments/rpi*.fragment; do
	board=$(basename "$fragment" .fragment)
	config=configs/retrowaves_${board}_defconfig
	made=$(grep -hE '^(BR2_|# BR2_.* is not set$)' "$fragment" fragments/common.fragment)
	if [ "${1-}" = --check ]; then
		[ "$made" = "$(cat "$config")" ] || { echo "$config is not what the fragments say: buildroot/defconfigs.sh" >&2; status=1; }
	else
		printf '%s\n' "$made" >"$config"
	fi
done
exit $status
