#!/usr/bin/env bash
# Checks the external tree against a Buildroot checkout, without building anything: every option of every
# defconfig survives, the package is one that Buildroot can read, check-package is content.
#
# Usage: buildroot/lint.sh BUILDROOT
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
buildroot=$(cd "${1:?where is Buildroot}" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0
fail() { echo "lint: $*" >&2; status=1; }

check_board() {
	local board=$1 config=$here/configs/retrowaves_$1_defconfig o=$out/$1 line dropped=0
	make -s -C "$buildroot" O="$o" BR2_EXTERNAL="$here" "retrowaves_${board}_defconfig" >"$out/log" 2>&1 ||
		{ cat "$out/log" >&2; fail "$board: no configuration"; return; }
	if grep -i warning "$out/log" >&2; then fail "$board: Kconfig warns"; fi
	while read -r line; do
		grep -qxF -- "$line" "$o/.config" || { fail "$board: dropped: $line"; dropped=$((dropped + 1)); }
	done <"$config"
	make -s -C "$o" show-info | python3 -m json.tool >"$o/info.json" || fail "$board: Buildroot cannot read its packages"
	grep -q '^    "retrowaves": {$' "$o/info.json" || fail "$board: retrowaves is not among what is built"
	make -s -C "$o" savedefconfig BR2_DEFCONFIG="$o/saved"
	echo "$board: $(wc -l <"$config") options, $dropped dropped, $(grep -c '^    "' "$o/info.json") packages;" \
		"already the default: $(grep -vxFf "$o/saved" "$config" | sed 's/=.*//' | paste -sd' ')"
}

"$here/defconfigs.sh" --check || status=1
for config in "$here"/configs/*_defconfig; do
	board=$(basename "$config" _defconfig)
	check_board "${board#retrowaves_}"
done

# It wants python-magic, flake8 and shellcheck beside it.
if python3 -c 'import magic' 2>/dev/null; then
	find "$here" -type f ! -name '*.md' -print0 | (cd "$buildroot" && xargs -0 utils/check-package -b) || fail "check-package"
else
	echo "lint: check-package was not run: it needs python-magic" >&2
	[ -z "${CI:-}" ] || status=1
fi
exit $status
