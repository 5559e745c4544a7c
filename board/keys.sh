#!/usr/bin/env bash
# Makes the keys by which updates are signed: an authority, which boxes trust for ever, and a
# certificate under it, with which bundles are signed and which can be replaced.
#
# Usage: board/keys.sh DIR                 keys for releases; asks for nothing, overwrites nothing
#        board/keys.sh DIR --development   for tests and own builds; a release build refuses these
#
# Leaves in DIR: ca.key (keep it off line: who has it owns every box), keyring.pem (goes into the image),
# signing.key and signing.pem (what `make image` needs). It must never write into the repository's tracked folders.
set -euo pipefail

dir=${1:?where to: board/keys.sh DIR [--development]}
kind=${2:-}
case "$kind" in
'') what='Retrowaves' days=7300 ;;
--development) what='Retrowaves development, not for releases' days=3650 ;;
*) echo "keys.sh: what is $kind?" >&2; exit 2 ;;
esac
[ ! -e "$dir/ca.key" ] || { echo "keys.sh: $dir has keys already; they are left as they are" >&2; exit 0; }

umask 077
mkdir -p "$dir"
work=$(mktemp -d "$dir/.keys.XXXXXX")
trap 'rm -rf "$work"' EXIT
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

new_key "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -sha256 -days "$days" -subj "/O=Retrowaves/CN=$what: authority" \
	-addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$work/keyring.pem"
new_key "$work/signing.key"
openssl req -new -key "$work/signing.key" -subj "/O=Retrowaves/CN=$what: updates" -out "$work/signing.csr"
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection,codeSigning\n' >"$work/ext"
openssl x509 -req -in "$work/signing.csr" -CA "$work/keyring.pem" -CAkey "$work/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
	-sha256 -days "$days" -extfile "$work/ext" -out "$work/signing.pem" 2>/dev/null
chmod 644 "$work/keyring.pem" "$work/signing.pem"
# The authority last: a run that was cut leaves nothing that looks complete.
mv "$work/signing.key" "$work/signing.pem" "$work/keyring.pem" "$dir/"
mv "$work/ca.key" "$dir/"
echo "keys.sh: $dir: keyring.pem goes into the image, signing.key signs; put ca.key away" >&2
