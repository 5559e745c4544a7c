#!/usr/bin/env bash
# Makes the release: the tarball that Buildroot (and anybody without a network) builds from, with every crate
# vendored, and the file of hashes that Buildroot checks it against.
#
# Usage: board/dist.sh [OUT]     (target/dist)
#
# Leaves OUT/retrowaves-V.tar.gz and OUT/retrowaves/retrowaves.hash. The same commit and Cargo.lock give the same
# bytes. It takes what is committed: what is only in the working tree is not in it, and it says so.
set -euo pipefail

cd "$(dirname "$0")/.."
out=${1:-target/dist}
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=retrowaves-$version
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

grep -qx "RETROWAVES_VERSION = $version" buildroot/package/retrowaves/retrowaves.mk ||
	{ echo "dist: Cargo.toml says $version, buildroot/package/retrowaves/retrowaves.mk does not" >&2; exit 1; }
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
	echo "dist: the working tree has changes that are not committed, and not in the tarball" >&2
commit_sec=$(git log -1 --format=%ct)

git archive --prefix="$name/" HEAD | tar -x -C "$work"
# As Buildroot would do it after a download; a tarball with VENDOR is left as it is. What cargo says to write into
# its configuration may name this machine's own settings, so it is written here.
(cd "$work/$name" && cargo vendor --quiet --locked VENDOR >/dev/null)
mkdir -p "$work/$name/.cargo"
cat >"$work/$name/.cargo/config.toml" <<-END
	[source.crates-io]
	replace-with = "vendored-sources"

	[source.vendored-sources]
	directory = "VENDOR"
END
# Without a network, and without what this machine has of crates: else the first to notice would be a user.
(cd "$work/$name" && CARGO_HOME=$work/home cargo metadata --quiet --offline --locked --format-version 1 >/dev/null) ||
	{ echo "dist: the tarball lacks something that Cargo.lock names" >&2; exit 1; }
(cd "$work" && LC_ALL=C tar --sort=name --mtime="@$commit_sec" --owner=0 --group=0 --numeric-owner --format=posix \
	--pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --mode='u+rw,go=rX' -cf - "$name" | gzip -9n) \
	>"$work/$name.tar.gz"
mkdir -p "$out/retrowaves"
mv "$work/$name.tar.gz" "$out/"
{
	echo "# Written by board/dist.sh from commit $(git rev-parse HEAD)"
	echo "sha256  $(sha256sum "$out/$name.tar.gz" | cut -d' ' -f1)  $name.tar.gz"
} >"$out/retrowaves/retrowaves.hash"
echo "dist: $out/$name.tar.gz: $(stat -c %s "$out/$name.tar.gz") bytes" >&2
