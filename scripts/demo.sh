#!/usr/bin/env bash
# Makes the demo programme: songs, jingles, station IDs and announcements out of nothing but
# FFmpeg's tone, noise and speech sources, in the folders that the station knows by name.
# Formats, sample rates and loudness are mixed on purpose: levelling is to be heard.
#
# It is made beside FOLDER and renamed when complete, so FOLDER is whole or not there.
# A second call finds it made and does nothing.
#
# Usage: scripts/demo.sh FOLDER
set -euo pipefail

# Another version replaces what an older one has made.
VERSION=1
STAMP=.retrowaves-demo

say() { echo "demo: $*" >&2; }
die() { say "$@"; exit 1; }

[ $# = 1 ] && [ -n "$1" ] || { say "usage: scripts/demo.sh FOLDER"; exit 2; }
folder=${1%/}
[ -n "$folder" ] || die "/ is no folder for the demo programme: name another one"

is_made() { [ "$(head -n 1 "$folder/$STAMP" 2>/dev/null)" = "demo programme $VERSION" ]; }

# What is in $1 beside the stamp, one path a line, sorted.
contents() { (cd "$1" && find . ! -type d ! -name "$STAMP" | LC_ALL=C sort); }

# A folder that is in the way goes only if all in it was made by this script.
make_room() {
	[ -e "$folder" ] || [ -L "$folder" ] || return 0
	[ -d "$folder" ] && [ ! -L "$folder" ] || die "$folder is no folder: name another one"
	rmdir "$folder" 2>/dev/null && return
	[ -f "$folder/$STAMP" ] || die "$folder holds something else than a demo programme: name an empty or a new folder"
	local strange
	strange=$(LC_ALL=C comm -13 <(tail -n +2 "$folder/$STAMP") <(contents "$folder") | head -n 1)
	[ -z "$strange" ] || die "$folder holds an older demo programme and files of yours ($strange): move them first"
	rm -r "$folder"
}

if is_made; then exit 0; fi
command -v ffmpeg >/dev/null 2>&1 || die "ffmpeg is missing: scripts/setup.sh run installs it"
mkdir -p "$(dirname "$folder")"
folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
# Left by a run that was killed, an hour ago or more.
find "$(dirname "$folder")" -maxdepth 1 -name ".$(basename "$folder").making.*" -mmin +60 -exec rm -r {} +
make_room
work=$(mktemp -d "$(dirname "$folder")/.$(basename "$folder").making.XXXXXX")
jobs_running=()

# Interrupted: the FFmpegs that run are waited for, not left behind.
clean() {
	local pid
	for pid in ${jobs_running[@]+"${jobs_running[@]}"}; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- work side by side ------------------------------------------------------------------

SIDE_BY_SIDE=$(nproc 2>/dev/null || echo 2)

# Runs a command beside the others; waits when there are enough of them.
beside() {
	if [ ${#jobs_running[@]} -ge "$SIDE_BY_SIDE" ]; then
		finish "${jobs_running[0]}"
		jobs_running=("${jobs_running[@]:1}")
	fi
	"$@" &
	jobs_running+=("$!")
}

finish() { wait "$1" || die "FFmpeg could not make a file (its reason is above)"; }

finish_all() {
	local pid
	for pid in "${jobs_running[@]}"; do finish "$pid"; done
	jobs_running=()
}

# ---- FFmpeg -----------------------------------------------------------------------------

# encode FILE ARGUMENTS…: the codec follows from the ending; tags are in `tags`. For `beside`
# only: it becomes FFmpeg, so that its process is the one that `clean` ends.
encode() {
	local file=$1 codec
	shift
	case "$file" in
	*.mp3) codec=(-c:a libmp3lame "${quality[@]}" -id3v2_version 3) ;;
	*.flac) codec=(-c:a flac) ;;
	*.ogg) codec=(-c:a libvorbis -q:a 5) ;;
	*.opus) codec=(-c:a libopus -b:a 112k) ;;
	*.m4a) codec=(-c:a aac -b:a 160k) ;;
	*.wav) codec=(-c:a pcm_s16le) ;;
	esac
	mkdir -p "$(dirname "$file")"
	exec ffmpeg -nostdin -v error -y "$@" -map_metadata -1 "${tags[@]}" -bitexact "${codec[@]}" "$file"
}

quality=(-b:a 192k)

# tag TITLE ARTIST [ALBUM YEAR]
tag() {
	tags=(-metadata "title=$1" -metadata "artist=$2")
	[ $# = 2 ] || tags+=(-metadata "album=$3" -metadata "date=$4")
}

# ---- instruments: expressions of t for aevalsrc ------------------------------------------
#
# A list of small numbers is one long decimal number, last entry first, and looked up by
# division. Registers: 0 seconds since the note began, 1 the note, 2 the chord's kind,
# 3 a step's entry, 4 a wave's phase.

# list WIDTH ENTRY…: the number.
list() {
	local width=$1 number='' entry
	shift
	for entry in "$@"; do number=$(printf "%0${width}d" "$entry")$number; done
	echo "$number"
}

# at LIST WIDTH INDEX: the expression for an entry.
at() { echo "mod(floor($1/pow(1e$2,$3)),1e$2)"; }

# hz NOTE: MIDI's numbers, 69 is 440 Hz.
hz() { echo "(440*pow(2,(($1)-69)/12))"; }

# envelope ATTACK_SEC FALL_PER_SEC LENGTH_SEC: starts and ends at nothing, so that no note clicks.
envelope() { echo "min(1,ld(0)/$1)*exp(-$2*ld(0))*min(1,($3-ld(0))/0.02)"; }

# wave NOTE DETUNE: a tone whose overtones die sooner.
wave() {
	echo "(st(4,2*PI*$2*$(hz "$1")*ld(0));sin(ld(4))+0.4*exp(-3*ld(0))*sin(2*ld(4))+0.15*exp(-6*ld(0))*sin(3*ld(4)))"
}

# Chords are four a song, a bar each: root note, and kind (0 minor 7th, 1 major 7th, 2 7th, 3 major).
THIRD='(3+min(1,ld(2)))'
SEVENTH='(10+eq(ld(2),1)+2*eq(ld(2),3))'

# A sequence of steps, each evaluated before the next.
steps() { local IFS=';'; echo "$*"; }

in_bar() { steps "st(1,$(at "$roots" 2 "mod(floor(t/$bar),4)"))" "st(2,$(at "$kinds" 1 "mod(floor(t/$bar),4)"))"; }

pad() {
	local sum
	sum="$(wave 'ld(1)' "$1")+$(wave "ld(1)+$THIRD" "$1")+$(wave 'ld(1)+7' "$1")+0.7*$(wave "ld(1)+$SEVENTH" "$1")"
	steps "st(0,mod(t,$bar))" "$(in_bar)" "0.25*min(1,ld(0)/0.3)*exp(-0.4*ld(0))*min(1,($bar-ld(0))/0.2)*($sum)"
}

# Chord tones in the order of `pattern`, eight to a bar.
arpeggio() {
	local step tone
	step=$(awk "BEGIN { print $bar / 8 }")
	tone="st(3,$(at "$pattern" 1 "mod(floor(t/$step),8)"))"
	steps "st(0,mod(t,$step))" "$(in_bar)" "$tone" \
		"$(envelope 0.006 5 "$step")*$(wave "ld(1)+12+eq(ld(3),1)*$THIRD+eq(ld(3),2)*7+eq(ld(3),3)*$SEVENTH" 1)"
}

# Root, fifth, root, octave: one a beat.
bass() {
	local beat
	beat=$(awk "BEGIN { print $bar / 4 }")
	steps "st(0,mod(t,$beat))" "$(in_bar)" "st(3,$(at 12000700 2 "mod(floor(t/$beat),4)"))" \
		"st(4,2*PI*$(hz 'ld(1)-12+ld(3)')*ld(0))" "$(envelope 0.01 2.5 "$beat")*(sin(ld(4))+0.35*sin(2*ld(4)))"
}

# melody STEP_SEC PHRASE…: of eight steps each, in turn. A digit is a step of the five-note
# scale on `key`, 9 a rest.
melody() {
	local step=$1 degree='' phrase turn
	shift
	turn="mod(floor(t/($step*8)),$#)"
	for ((turns = $#; turns > 0; turns--)); do
		phrase=$(at "$(phrase "${!turns}")" 1 "mod(floor(t/$step),8)")
		degree=${degree:+"if(eq($turn,$((turns - 1))),$phrase,$degree)"}
		degree=${degree:-$phrase}
	done
	steps "st(0,mod(t,$step))" "st(3,$degree)" \
		"st(1,$key+12*floor(ld(3)/5)+$(at 97420 1 'mod(ld(3),5)'))" \
		"lt(ld(3),9)*$(envelope 0.02 1.6 "$step")*$(wave 'ld(1)+0.06*sin(33*ld(0))*min(1,2*ld(0))' 1)"
}

# A soft drum on 1 and 3, a brush on 2 and 4.
drums() {
	local beat
	beat=$(awk "BEGIN { print $bar / 4 }")
	steps "st(0,mod(t,$beat))" "st(3,mod(floor(t/$beat),2))" \
		"min(1,ld(0)/0.003)*min(1,($beat-ld(0))/0.02)*((1-ld(3))*exp(-14*ld(0))*sin(2*PI*(48*ld(0)+2*(1-exp(-30*ld(0)))))+0.16*ld(3)*exp(-22*ld(0))*(2*random(5)-1))"
}

# ---- a song -------------------------------------------------------------------------------

# tune BEATS_PER_MINUTE KEY "ROOTS" "KINDS" "PATTERN": what the instruments play from.
tune() {
	bar=$(awk "BEGIN { printf \"%.6f\", 240 / $1 }")
	key=$2
	# The entries are words.
	# shellcheck disable=SC2086
	roots=$(list 2 $3) kinds=$(list 1 $4) pattern=$(list 1 $5)
}

# phrase DIGITS: as a list.
# shellcheck disable=SC2046 # the digits are words
phrase() { local i; list 1 $(for ((i = 0; i < ${#1}; i++)); do echo "${1:i:1}"; done); }

# source_of SECONDS BARS SYNTH_HZ EXPRESSION [EXPRESSION]: mono, or left and right. Expressions are
# slow: it is computed at a rate that its highest overtone just needs, for so many bars, and
# then repeated and resampled. Each note has ended where the bars end.
source_of() {
	local samples
	samples=$(awk "BEGIN { printf \"%d\", $2 * $bar * $3 + 0.5 }")
	echo "aevalsrc='$4${5:+|$5}':s=$3,atrim=end_sample=$samples,aloop=loop=-1:size=$samples,atrim=end=$1,aresample=$rate"
}

# song FILE SECONDS FADE_SEC GAIN PARTS: mixes the parts, gives them room, and ends softly.
song() {
	local file=$1 seconds=$2 fade=$3 gain=$4 parts=$5 count
	count=$(grep -o '\[p[0-9]*\]' <<<"$parts" | sort -u | wc -l)
	local inputs=''
	for ((i = 1; i <= count; i++)); do inputs+="[p$i]"; done
	encode "$file" -filter_complex "$parts;${inputs}amix=inputs=$count:normalize=0,aecho=0.8:0.5:110|270:0.22|0.12,\
volume=$gain,alimiter=level=false:limit=0.84:attack=2:release=80,afade=t=in:d=0.02,\
afade=t=out:curve=qsin:st=$(awk "BEGIN { print $seconds - $fade }"):d=$fade,atrim=end=${seconds}[out]" \
		-map '[out]' -ar "$rate" -ac "$channels"
}

# Places of the parts between left and right.
LEFT='pan=stereo|c0=0.9*c0|c1=0.45*c0'
RIGHT='pan=stereo|c0=0.45*c0|c1=0.9*c0'
MIDDLE='pan=stereo|c0=0.7*c0|c1=0.7*c0'

# The usual parts: their numbers p1, p2, … are the mixer's inputs.
part_pad() { echo "$(source_of "$2" 4 8000 "$(pad 0.9985)" "$(pad 1.0015)"),volume=$3[p$1]"; }
part_arpeggio() { echo "$(source_of "$2" 4 12000 "$(arpeggio)"),$LEFT,volume=$3[p$1]"; }
part_bass() { echo "$(source_of "$2" 4 8000 "$(bass)"),$MIDDLE,volume=$3[p$1]"; }
part_drums() { echo "$(source_of "$2" 4 16000 "$(drums)"),$MIDDLE,volume=$3[p$1]"; }
# part_melody N SECONDS VOLUME STEPS_A_BAR PHRASE…
part_melody() {
	local number=$1 seconds=$2 volume=$3 step
	step=$(awk "BEGIN { printf \"%.6f\", $bar / $4 }")
	shift 4
	echo "$(source_of "$seconds" 8 12000 "$(melody "$step" "$@")"),$RIGHT,volume=${volume}[p$number]"
}
# part_noise N SECONDS VOLUME COLOUR WAVES_PER_SEC LOWPASS_HZ: the sea, or the wind.
part_noise() {
	local one="r=$rate:d=$2:a=0.6:c=$4"
	echo "anoisesrc=$one:seed=11,tremolo=f=$5:d=0.75[l$1];anoisesrc=$one:seed=12,tremolo=f=$5:d=0.6[r$1];\
[l$1][r$1]amerge,lowpass=f=$6,volume=$3[p$1]"
}
together() { local IFS=';'; echo "$*"; }

# ---- speech -------------------------------------------------------------------------------

# Debian's FFmpeg speaks; others may not, and then there is a jingle instead.
voice=''
for candidate in slt kal; do
	if ffmpeg -nostdin -v quiet -f lavfi -i "flite=text=one:voice=$candidate" -f null - </dev/null; then
		voice=$candidate
		break
	fi
done
[ -n "$voice" ] || say "this FFmpeg has no flite source, so nobody speaks: tones stand in"

# speak FILE GAIN TEXT: a bell, then the words (the bell alone, twice, where nobody speaks).
speak() {
	local file=$1 gain=$2 text=$3 bell tail
	bell="aevalsrc='$(steps 'st(0,mod(t,0.22))' "st(1,72+$(at "$bell_notes" 2 'floor(t/0.22)'))" \
		"$(envelope 0.005 7 0.22)*0.4*$(wave 'ld(1)' 1)")':s=$rate:d=0.66"
	tail="aecho=0.8:0.4:70:0.12,volume=$gain,alimiter=level=false:limit=0.84"
	if [ -n "$voice" ]; then
		printf '%s' "$text" >"$work/.speech-$(basename "$file").txt"
		# The file is named relative to here: no character of the folder's name is in the filter.
		cd "$work"
		encode "$file" -filter_complex "${bell}[bell];flite=textfile='.speech-$(basename "$file").txt':voice=$voice,\
aresample=$rate,volume=2.2,apad=pad_dur=0.35[words];[bell][words]concat=n=2:v=0:a=1,$tail,afade=t=in:d=0.01,areverse,afade=t=in:d=0.02,areverse[out]" \
			-map '[out]' -ar "$rate" -ac "$channels"
	else
		encode "$file" -filter_complex "${bell},asplit[a][b];[a][b]concat=n=2:v=0:a=1,$tail,apad=pad_dur=0.3[out]" \
			-map '[out]' -ar "$rate" -ac "$channels"
	fi
}

# ---- the programme ------------------------------------------------------------------------

make_songs() {
	cd "$work"
	rate=44100 channels=2
	tune 84 60 "57 53 48 55" "0 1 1 2" "0 2 3 2 1 2 3 2"
	tag "Lamplight" "The Cupboard Trio" "First Floor" 1962
	beside song "$work/Evening/The Cupboard Trio - Lamplight.mp3" 46 6 0.40 "$(together "$(part_pad 1 46 0.5)" \
		"$(part_arpeggio 2 46 0.7)" "$(part_bass 3 46 0.8)" "$(part_melody 4 46 0.7 4 29421939 91293149 49542939 94529319)")"

	rate=48000 channels=2
	tune 112 60 "60 57 62 55" "1 0 0 2" "0 1 2 3 2 1 2 1"
	tag "Slow Lift" "The Cupboard Trio" "First Floor" 1962
	beside song "$work/Evening/The Cupboard Trio - Slow Lift.flac" 39 2 0.55 "$(together "$(part_arpeggio 1 39 0.8)" \
		"$(part_bass 2 39 0.9)" "$(part_drums 3 39 1.1)" "$(part_melody 4 39 0.8 8 45493249 39192999 56545949 39291999)")"

	rate=44100 channels=2
	tune 72 67 "55 52 48 50" "1 0 1 2" "0 2 1 2 3 2 1 2"
	tag "Cardboard Moon" "Mara Valve" "Warm Glass" 1957
	beside song "$work/Evening/Mara Valve - Cardboard Moon.ogg" 50 7 0.26 "$(together "$(part_pad 1 50 0.8)" \
		"$(part_bass 2 50 0.6)" "$(part_melody 3 50 1.0 4 59432999 34529199 69543999 45329199)")"

	rate=48000 channels=2
	tune 126 60 "50 55 48 57" "0 2 1 2" "0 1 2 1 3 1 2 1"
	tag "Tea at Six" "Mara Valve" "Warm Glass" 1958
	beside song "$work/Evening/Mara Valve - Tea at Six.m4a" 38 1 0.85 "$(together "$(part_arpeggio 1 38 0.7)" \
		"$(part_bass 2 38 0.9)" "$(part_drums 3 38 1.2)" "$(part_melody 4 38 0.6 8 23934399 49593949 65454392 32929199)")"

	rate=48000 channels=2
	tune 138 69 "57 50 52 57" "3 3 2 3" "0 2 1 2 3 2 1 2"
	tag "Kitchen Radio" "Kilohertz Brothers" "Medium Wave" 1971
	beside song "$work/Evening/Kilohertz Brothers - Kitchen Radio.opus" 35 1 1.3 "$(together "$(part_arpeggio 1 35 0.9)" \
		"$(part_bass 2 35 1.1)" "$(part_drums 3 35 1.6)" "$(part_melody 4 35 0.7 8 55965597 65549299 44954493 24319099)")"

	rate=48000 channels=2
	tune 66 60 "48 53 57 55" "1 1 0 3" "0 1 2 3 2 3 2 1"
	tag "Harbour at Four" "Long Wave Ensemble" "Tides" 1979
	beside song "$work/Sea/Long Wave Ensemble - Harbour at Four.wav" 36 5 0.35 "$(together "$(part_pad 1 36 0.9)" \
		"$(part_arpeggio 2 36 0.6)" "$(part_noise 3 36 0.12 brown 0.13 700)")"

	rate=48000 channels=2
	tune 58 62 "50 46 53 48" "0 1 1 3" "0 2 3 2 1 2 3 2"
	tag "Ebb" "Long Wave Ensemble" "Tides" 1979
	beside song "$work/Sea/Long Wave Ensemble - Ebb.flac" 48 10 0.36 "$(together "$(part_pad 1 48 1.0)" \
		"$(part_bass 2 48 0.5)" "$(part_noise 3 48 0.22 pink 0.11 1800)")"

	rate=44100 channels=2
	tune 96 67 "52 48 55 50" "0 1 3 3" "0 2 3 1 2 3 1 2"
	tag "Lighthouse" "Anna Log" "Sine of the Times" 1983
	quality=(-q:a 3)
	beside song "$work/Sea/Anna Log - Lighthouse.mp3" 45 4 0.65 "$(together "$(part_pad 1 45 0.5)" \
		"$(part_arpeggio 2 45 0.8)" "$(part_bass 3 45 0.8)" "$(part_drums 4 45 0.8)" \
		"$(part_melody 5 45 0.6 8 13291943 29139299 54392931 49231999)")"
	quality=(-b:a 192k)

	rate=48000 channels=1
	tune 104 57 "57 55 53 52" "0 3 1 2" "0 1 2 1 3 2 1 2"
	tag "Gale Warning" "Anna Log" "Sine of the Times" 1983
	beside song "$work/Sea/Anna Log - Gale Warning.mp3" 37 3 0.40 "$(together "$(part_arpeggio 1 37 0.8)" \
		"$(part_bass 2 37 1.0)" "$(part_noise 3 37 0.35 pink 0.21 1200)")"

	rate=48000 channels=2
	tag "Wind over the Pier" "Weather Department" "Fieldwork" 1991
	beside song "$work/Sea/Weather Department - Wind over the Pier.ogg" 28 6 0.9 "$(together \
		"$(part_noise 1 28 1.0 brown 0.1 900)" "$(part_noise 2 28 0.35 pink 0.17 2500)")"
}

make_announcements() {
	local us="Retrowaves" number=0 text
	rate=48000 channels=2
	bell_notes=$(list 2 0 4 7)
	for text in "This is Retrowaves." "Retrowaves. Music from a box in the cupboard." \
		"You are listening to Retrowaves, on every radio of the house."; do
		number=$((number + 1))
		tag "Station ID $number" "$us"
		beside speak "$work/ids/id-$number.$([ $number = 2 ] && echo flac || echo mp3)" 0.8 "$text"
	done
	tag "Good day" "$us"
	beside speak "$work/sign-on/good-day.mp3" 1.0 "Good day. This is Retrowaves. We are on air."
	tag "Good night" "$us"
	bell_notes=$(list 2 7 4 0)
	beside speak "$work/sign-off/good-night.mp3" 0.7 "This was Retrowaves. Good night."
	rate=44100 channels=1
	bell_notes=$(list 2 4 7 12)
	tag "Lighthouse" "Anna Log"
	beside speak "$work/intros/Anna Log - Lighthouse.mp3" 0.9 "And now, Anna Log, with Lighthouse."
	bell_notes=$(list 2 12 7 5)
	tag "Ebb" "Long Wave Ensemble"
	beside speak "$work/outros/Long Wave Ensemble - Ebb.ogg" 0.5 "That was Ebb, by the Long Wave Ensemble."
}

# jingle FILE SECONDS GAIN VOLUME…: a tune in a hurry.
make_jingles() {
	rate=48000 channels=2
	tune 150 60 "60 65 67 60" "3 3 2 3" "0 1 2 3 0 1 2 3"
	tag "Jingle, up the stairs" "Retrowaves"
	beside song "$work/jingles/up-the-stairs.mp3" 6.6 1 0.9 "$(together "$(part_arpeggio 1 6.6 0.9)" "$(part_bass 2 6.6 0.9)")"
	tune 170 67 "55 60 62 55" "3 3 2 3" "3 2 1 0 3 2 1 0"
	tag "Jingle, down the stairs" "Retrowaves"
	beside song "$work/jingles/down-the-stairs.flac" 5.8 0.6 0.35 "$(together "$(part_arpeggio 1 5.8 0.9)" "$(part_pad 2 5.8 0.6)")"
}

say "making the demo programme in $folder (once, some seconds)"
make_announcements
make_jingles
make_songs
finish_all
rm -f "$work"/.speech-*
{
	echo "demo programme $VERSION"
	contents "$work"
} >"$work/.stamp"
mv "$work/.stamp" "$work/$STAMP"
chmod 755 "$work"
# Somebody else may have made it meanwhile: theirs is as good.
mv -T "$work" "$folder" 2>/dev/null || is_made || die "$folder cannot be made"
