#!/usr/bin/env bash
# Runs tower and station together, as `make run` does. Ctrl-C and SIGTERM end the station first
# (it plays its sign-off), then the tower; a second one ends both at once. The tower is the
# radio: when it ends, so does this, with its exit code. When the station ends, the tower goes on
# and its fallback is heard.
#
# Usage: scripts/run.sh BIN_FOLDER MUSIC_FOLDER
# RUN_TOWER_ARGS and RUN_STATION_ARGS in the environment: more arguments for each, separated by blanks.
set -uo pipefail

[ $# = 2 ] || { echo "usage: scripts/run.sh BIN_FOLDER MUSIC_FOLDER" >&2; exit 2; }
bin=$1 music=$2
# The station waits for a folder that is not there, as it should for a disk; a typing error should not.
[ -d "$music" ] || { echo "run: $music: no folder of music is there" >&2; exit 2; }
read -ra tower_args <<<"${RUN_TOWER_ARGS:-}"
read -ra station_args <<<"${RUN_STATION_ARGS:-}"
# From the command line of make; neither program knows it.
unset STATION_ARGS

tower='' station='' asked=0
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/tower" "$scratch/never" || exit 1
# Open in both directions, so that a read of it waits: a sleep that needs no process.
exec 4<>"$scratch/never"

# A group of its own for each child, so that Ctrl-C in the terminal reaches this script alone
# and the order is ours. Should this script be killed, they are told (where there is setpriv).
set -m
guard=()
if command -v setpriv >/dev/null 2>&1; then guard=(setpriv --pdeathsig TERM --); fi

alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

hint() { printf '  %-34s  %s\n' "$1" "$2"; }

# First time: in order. Second time: at once.
# shellcheck disable=SC2317 # the trap calls it
stop() {
	asked=$((asked + 1))
	if [ "$asked" -gt 1 ]; then
		alive "$station" && kill -KILL -- "-$station" 2>/dev/null
		alive "$tower" && kill -TERM "$tower" 2>/dev/null
	elif alive "$station"; then
		echo "Stopping: the station plays its sign-off, then the tower stops. Again (Ctrl-C): at once."
		kill -TERM "$station" 2>/dev/null
	elif alive "$tower"; then
		kill -TERM "$tower" 2>/dev/null
	fi
	[ "$asked" -le 2 ] || ! alive "$tower" || kill -KILL -- "-$tower" 2>/dev/null
}
trap stop INT TERM HUP

# A signal ends it early, and `wait` alone would: so children are looked at, often enough.
pause() { read -rt 0.2 -u 4 || true; }

# Waits for the end of a child; its exit code is in `code`.
wait_for() {
	while alive "$1"; do pause; done
	wait "$1" 2>/dev/null
	code=$?
}

${guard[@]+"${guard[@]}"} "$bin/tower" run --set 'log.file={runtime}/tower.log' ${tower_args[@]+"${tower_args[@]}"} >"$scratch/tower" 4<&- &
tower=$!
exec 3<"$scratch/tower"

# On air is when the tower says so: what it announces is shown, and tells where it is.
url='' socket=''
while IFS= read -r line <&3; do
	echo "$line"
	case "$line" in
	*'listen at'*) url=${line##* } ;;
	*'send PCM to'*) socket=${line#*send PCM to } ;;
	*' log '*) break ;;
	esac
done
# What it prints later is shown too, and never blocks it.
cat <&3 4<&- &
exec 3<&-

if [ -n "$url" ] && [ "$asked" = 0 ]; then
	# The station finds a tower that has another port or socket than usual.
	base=${url%/stream}
	TOWER_SOCKET_PATH=$socket TOWER_URL=${base/localhost/127.0.0.1} \
		${guard[@]+"${guard[@]}"} "$bin/station" run --music "$music" --set 'log.file={runtime}/station.log' \
		${station_args[@]+"${station_args[@]}"} 4<&- &
	station=$!
	# From here on bash would only tell, with all of a command line, which child was killed.
	exec 2>/dev/null
	cat <<-TEXT

		Try this, in another window:
		$(hint "mpv $url" "or a browser, VLC, a kitchen radio")
		$(hint "$bin/station now" "what is playing")
		$(hint "$bin/station skip" "the next song, please")
		$(hint "$bin/tower status" "is all well?")
		$(hint "kill $station" "ends the station: after its sign-off and five seconds the fallback is heard")
		Ctrl-C here stops both.

	TEXT
fi

# Whoever ends first.
while alive "$tower" && alive "$station"; do pause; done

if [ -n "$station" ] && ! alive "$station"; then
	wait_for "$station"
	if [ "$asked" -gt 0 ] || ! alive "$tower"; then
		kill -TERM "$tower" 2>/dev/null
	else
		echo "The station has ended (exit code $code). The tower goes on: the fallback is on air. Ctrl-C stops it."
	fi
fi
wait_for "$tower"
tower_code=$code
if alive "$station"; then
	echo "The tower has ended (exit code $tower_code): the station is stopped."
	kill -TERM "$station" 2>/dev/null
	wait_for "$station"
fi
exit "$tower_code"
