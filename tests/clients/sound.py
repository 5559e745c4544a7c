"""An ear: which songs were heard, for how long, and every flaw between their first and last sample.

A pure tone foretells its next sample from the two before it (x[n+1] = 2 cos w · x[n] - x[n-1]), so a sample that
is missing, doubled or wrong anywhere stands out; a frame that a codec has smoothed over shows as a dip in level.
"""

import array
import math
import subprocess

from rig import LEVEL, PITCHES, SONG_SECONDS, Failure, decibels

RATE = 8000
BLOCK = 160
BLOCK_SECONDS = BLOCK / RATE
# Through encoder and decoder it is 0.0003 at most; a frame that is left out and smoothed over by the codec makes 0.05.
ERROR_MOST = 0.01
# About a change of songs, and at the ends of what was recorded, the codec's own overlap is heard.
MARGIN_BLOCKS = 4


def decode(path):
    """Samples, mono, 8 kHz. Players that are ended leave WAV heads without a length."""
    form = ["-f", "mp3"] if path.endswith(".mp3") else ["-ignore_length", "1", "-f", "wav"]
    done = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *form, "-i", path, "-ac", "1", "-ar", str(RATE),
                           "-f", "s16le", "-"], capture_output=True, timeout=120, check=False)
    samples = array.array("h")
    samples.frombytes(done.stdout[: len(done.stdout) // 2 * 2])
    return samples


class Block:
    """20 ms: its song, if it is one clear tone, its level in dB beside the song's, its largest error as a share of that."""

    def __init__(self, samples, begin):
        piece = samples[begin - 1:begin + BLOCK + 1]
        energy = sum(sample * sample for sample in piece[1:-1])
        self.level = decibels(math.sqrt(2 * energy / BLOCK) / (LEVEL * 32768))
        self.song = self.error = None
        if energy == 0:
            return
        both = [before + after for before, after in zip(piece, piece[2:])]
        cosine = sum(here * sides for here, sides in zip(piece[1:-1], both)) / (2 * energy)
        hertz = math.acos(max(-1, min(1, cosine))) * RATE / (2 * math.pi)
        nearest = min(range(len(PITCHES)), key=lambda song: abs(PITCHES[song] - hertz))
        if abs(PITCHES[nearest] - hertz) < 20:
            self.song = nearest
            twice = 2 * math.cos(2 * math.pi * PITCHES[nearest] / RATE)
            self.error = max(abs(sides - twice * here) for here, sides in zip(piece[1:-1], both)) / (LEVEL * 32768)

    def is_flawed(self):
        return self.song is None or abs(self.level) > 1 or self.error > ERROR_MOST


class Heard:
    """What a recording holds."""

    def __init__(self, samples):
        self.seconds = len(samples) / RATE
        blocks = [Block(samples, begin) for begin in range(1, len(samples) - BLOCK - 1, BLOCK)]
        # Silence before the first sound is the player's, and is not part of what it played.
        sounds = [number for number, block in enumerate(blocks) if block.song is not None]
        blocks = blocks[sounds[0]:sounds[-1] + 1] if sounds else []
        self.songs = []
        for number, (block, after) in enumerate(zip(blocks, blocks[1:])):
            # In one block of two songs a third may seem to be.
            is_song = block.song is not None and block.song == after.song
            if is_song and (not self.songs or self.songs[-1][0] != block.song):
                self.songs.append((block.song, number))
        changes = [0, len(blocks)] + [begin for _, begin in self.songs]
        self.flaws = [number * BLOCK_SECONDS for number, block in enumerate(blocks)
                      if block.is_flawed() and all(abs(number - change) > MARGIN_BLOCKS for change in changes)]
        ends = [begin for _, begin in self.songs[1:]] + [len(blocks)]
        self.lengths = [(end - begin) * BLOCK_SECONDS for (_, begin), end in zip(self.songs, ends)]
        self.level = sum(block.level for block in blocks) / len(blocks) if blocks else -180

    def order(self):
        """Numbers of the songs in the order they were heard. One song twice in a row is once here."""
        return [song for song, _ in self.songs]

    def check(self):
        if not self.songs:
            raise Failure("no song was heard")
        if self.flaws:
            raise Failure(f"{len(self.flaws)} flaws of 20 ms, at {', '.join(f'{at:.2f}' for at in self.flaws[:5])} s")
        # The first and the last were joined and left in their middle.
        for length in self.lengths[1:-1]:
            times = max(1, round(length / SONG_SECONDS))
            if abs(length - times * SONG_SECONDS) > 0.1:
                raise Failure(f"a song of {SONG_SECONDS} s lasted {length:.2f} s")


def check_the_ear(mp3):
    """That it would notice: of a recording without a flaw, one frame in the middle is left out."""
    whole = Heard(decode(mp3))
    whole.check()
    frame = 384
    with open(mp3, "rb") as file:
        audio = file.read()
    for at in range(3, 8):
        # In the middle of what is one song, whatever comes at the tenth of the recording.
        begin = len(audio) * at // 10 // frame * frame
        lacking = mp3.replace(".mp3", "-lacking.mp3")
        with open(lacking, "wb") as file:
            file.write(audio[:begin] + audio[begin + frame:])
        second = begin / frame * 0.024
        if not any(abs(second - change * BLOCK_SECONDS) < 0.5 for _, change in whole.songs):
            flaws = Heard(decode(lacking)).flaws
            if not any(abs(flaw - second) < 0.1 for flaw in flaws):
                raise Failure(f"a frame that was left out at {second:.2f} s was not noticed (flaws: {flaws})")
            return second
    raise Failure("no place was found where a song is long enough")
