#!/usr/bin/env bash
# Proves board/ffmpeg-options: runs `tower probe` and the tests of decoder and encoder with an FFmpeg that has
# nothing else. What the tests themselves write (FLAC, Vorbis, films) is written by the system's FFmpeg.
#
# Usage: board/prove-ffmpeg.sh [TEST…]      (without: those that matter)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
tests=("${@:-decoder_files}")
[ $# -gt 0 ] || tests=(decoder_files fallback_chain)

"$here/ffmpeg.sh" native
boxed=$PWD/target/ffmpeg-native/ffmpeg
full=$(command -v ffmpeg)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
# The encoder and the decoder are told from the tests' own calls by the words only they use.
cat >"$bin/ffmpeg" <<END
#!/bin/sh
case " \$* " in
*" -protocol_whitelist file "* | *" asetrate=48000 "*) exec "$boxed" "\$@" ;;
*) exec "$full" "\$@" ;;
esac
END
chmod +x "$bin/ffmpeg"
cargo run -q --locked --bin tower -- probe --tone --set "encoder.ffmpeg=$boxed"
export PATH="$bin:$PATH"
status=0
for test in "${tests[@]}"; do
	# Left out: how FFmpeg refuses an SDP, in the words of one that could read it. This one cannot, and refuses too.
	cargo test -q --locked --test "$test" -- --test-threads=1 --skip fd1_4_what_is_no_audio_is_refused_in_words || status=1
done
exit $status
