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

# Integration tests that are run: settings, the door and its HTTP, and decoders (with FFmpeg). Not those that start the
# programs themselves (most of the others): they would need binfmt_misc. Nor the fences of real-time threads
# (ptrace, seccomp) and valgrind, which QEMU's user mode does not have.
TESTS=(config_layers config_station door_control door_stream decoder_files)
# A test that hangs under emulation is ended, and all that it has started. The build counts too.
TIMEOUT_SEC=2700

skip=()
leave_out() { skip+=(--skip "$1"); }

# The reader of tags is this program itself, started by way of /proc/self/exe: that is QEMU there.
leave_out st3_a_file_that_hangs_the_parser_is_given_up
leave_out st3_a_file_that_kills_the_parser_costs_its_own_tags_only
leave_out st3_a_music_folder_that_vanishes_comes_back_known
leave_out st3_everything_a_disk_can_hold
leave_out st3_new_removed_and_changed_files_are_found
leave_out st3_tags_that_kill_cost_themselves_only
leave_out st3_without_a_reader_tags_are_asked_for_again
leave_out st3_the_library_follows_its_folders_and_knows_them_at_the_next_start
# It starts itself, to be killed.
leave_out st3_a_kill_at_any_moment_leaves_a_whole_generation
# Arithmetic over a year, which takes an emulated debug build many minutes and is the same on every machine.
leave_out st3_a_simulated_year_of_rotation

# A whole tower, with its FFmpegs: in five seconds of its stream there have to be four at least of MP3, which has
# 16,000 bytes a second.
hear_the_tower() {
	local dir tower url='' bytes
	dir=$(mktemp -d)
	: >"$dir/out"
	timeout --kill-after=5 60 qemu-aarch64-static target/cross/aarch64-unknown-linux-gnu/debug/tower run \
		--set http.port=0 --set http.host=127.0.0.1 --set log.syslog=false --set "log.file=$dir/tower.log" \
		--set "ingest.socket=$dir/pcm.sock" --set "control.socket=$dir/control.sock" >"$dir/out" &
	tower=$!
	for _ in {1..40}; do
		url=$(sed -n 's/.*listen at *//p' "$dir/out")
		[ -z "$url" ] || break
		sleep 0.5
	done
	[ -n "$url" ] || { cat "$dir/tower.log" >&2; return 1; }
	# curl's own failure is that the stream did not end, which is as it should be.
	curl --silent --max-time 5 --output "$dir/stream.mp3" "$url" || true
	kill -TERM "$tower"
	wait "$tower" || true
	bytes=$(stat -c %s "$dir/stream.mp3")
	if [ "$(od -An -tx1 -N1 "$dir/stream.mp3" | tr -d ' ')" != ff ] || [ "$bytes" -lt 64000 ]; then
		echo "test-aarch64: $bytes bytes of the stream" >&2
		cat "$dir/tower.log" >&2
		return 1
	fi
	rm -r "$dir"
	echo "test-aarch64: the tower was heard: $bytes bytes in 5 s"
}

selected=(--lib)
for test in "${TESTS[@]}"; do selected+=(--test "$test"); done
# One after the other: side by side, emulated threads get in each other's way for longer than tests wait.
timeout --kill-after=10 "$TIMEOUT_SEC" board/cross.sh test --locked --no-fail-fast "${selected[@]}" -- \
	--test-threads=1 "${skip[@]}" "$@"
hear_the_tower
