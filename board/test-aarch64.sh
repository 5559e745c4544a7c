#!/usr/bin/env bash
# Runs tests as aarch64 programs under QEMU's user mode: the same machine code as on a Raspberry Pi, on this
# computer's kernel. FFmpeg is the computer's own: QEMU starts other programs natively.
#
# What QEMU's user mode cannot show is left out by name, with the reason. Nothing here measures time: emulated code is
# slow, and says nothing about a Pi.
#
# Usage: board/test-aarch64.sh
set -euo pipefail

cd "$(dirname "$0")/.."
# A test that hangs under emulation is ended, with what it has started.
TIMEOUT_SEC=900

left_out=()
leave_out() { left_out+=(--skip "$1"); }

