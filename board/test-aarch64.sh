#!/usr/bin/env bash
# Runs tests as aarch64 programs under QEMU's user mode: the same machine code as on a Raspberry Pi, on this
# computer's kernel. FFmpeg and the shell are this computer's own: QEMU starts other programs natively.
#
# What cannot work there is left out by name, with the reason. No test of time is among them: emulated code
# is slow, and says nothing about a Pi.
#
# Usage: board/test-aarch64.sh [ARGUMENTS OF THE TEST PROGRAMS]
set -euo pipefail

cd "$(dirname "$0")/.."

# Integration tests that are run: arguments and settings, the door and its HTTP, and decoders (with FFmpeg).
TESTS=(config_command config_layers config_station door_control door_stream decoder_files station_files)
# A test that hangs under emulation is ended, and all that it has started.
TIMEOUT_SEC=1200

skip=()
leave_out() { skip+=(--skip "$1"); }

LEAVEOUTS

selected=(--lib)
for test in "${TESTS[@]}"; do selected+=(--test "$test"); done
# One after the other: side by side, emulated threads get in each other's way for longer than tests wait.
exec timeout --kill-after=10 "$TIMEOUT_SEC" board/cross.sh test --locked --no-fail-fast "${selected[@]}" -- \
	--test-threads=1 "${skip[@]}" "$@"
