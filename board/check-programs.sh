#!/usr/bin/env bash
# Looks at programs that were built for a Raspberry Pi: are they for it, small, without symbols, and do they need
# nothing that Debian 12 and Raspberry Pi OS 12 lack? Says what it found; fails at the first that is otherwise.
#
# Usage: board/check-programs.sh FOLDER
set -euo pipefail

# tower and station have 2 to 3 MB; one that is much larger has swallowed something.
BYTES_MAX=$((6 << 20))
# Debian 12 has 2.36.
GLIBC_MAX=2.36
LIBRARIES='ld-linux-aarch64.so.1 libasound.so.2 libc.so.6 libgcc_s.so.1 libm.so.6'

[ $# = 1 ] || { echo "usage: board/check-programs.sh FOLDER" >&2; exit 2; }
die() { echo "check-programs: $*" >&2; exit 1; }

# The system's readelf reads every machine's files; a computer may have only one of the two.
readelf=$(command -v aarch64-linux-gnu-readelf || command -v readelf) || die "readelf is missing: binutils has it"

for program in tower station; do
	file=$1/$program
	[ -f "$file" ] || die "$file is not there"
	"$readelf" -h "$file" | grep -q 'Machine: *AArch64' || die "$file is not for aarch64"
	"$readelf" -S "$file" | grep -q '\.symtab' && die "$file is not stripped"
	bytes=$(stat -c %s "$file")
	[ "$bytes" -le "$BYTES_MAX" ] || die "$file has $bytes bytes, more than $BYTES_MAX"
	needed=$("$readelf" -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort)
	[ -n "$needed" ] || die "$file needs no library: is it a program?"
	for library in $needed; do
		[[ " $LIBRARIES " == *" $library "* ]] || die "$file needs $library, which a Pi may lack"
	done
	glibc=$("$readelf" -V "$file" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
	[ -n "$glibc" ] || die "$file names no version of glibc"
	[ "$(printf '%s\n' "$glibc" "$GLIBC_MAX" | sort -V | tail -n 1)" = "$GLIBC_MAX" ] ||
		die "$file needs glibc $glibc, later than $GLIBC_MAX"
	echo "$program: $bytes bytes, glibc $glibc, needs ${needed//$'\n'/ }"
done
