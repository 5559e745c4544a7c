#!/bin/sh
# The guest's encoder: FFmpeg with LAME's quickest setting, and nothing else changed, since an emulated processor
# does not encode in real time otherwise on a machine with other work. Named by tower.toml of tests/box/box.py.
for word do
	shift
	[ "$word" != -b:a ] || set -- "$@" -compression_level 9
	set -- "$@" "$word"
done
exec /usr/bin/ffmpeg "$@"
