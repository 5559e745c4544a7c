"""What a listener of a box hears: the stream read as by anyone, decoded, and its loudest pitch named.

Each source of the tests is a pure tone of its own, so that a pitch says what is on air.
"""

import array
import math
import socket
import subprocess
import time

from guest import Failure

RATE = 8000
# The tower's own tone, the music that was put on the card, and what is played into the sound card.
TONE_HZ, MUSIC_HZ, LIVE_HZ = 440, 1000, 620
NAMES = {TONE_HZ: "tone", MUSIC_HZ: "music", LIVE_HZ: "live"}


def read_stream(port, seconds, limit):
    """Bytes of `/live`, the stream without a burst of what was before, as they come: so many seconds of 64 kbit/s. None: there is no stream yet."""
    wanted = int(seconds * 8000)
    end = time.monotonic() + limit
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(b"GET /live HTTP/1.0\r\nHost: localhost\r\n\r\n")
            while len(got) < wanted + 1024 and time.monotonic() < end:
                line.settimeout(max(0.1, min(5, end - time.monotonic())))
                piece = line.recv(65536)
                if not piece:
                    break
                got += piece
    except OSError:
        pass
    head, _, body = got.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] or b"audio/mpeg" not in head.lower() or len(body) < 2000:
        return None
    return body


def decode(mp3):
    """Samples, mono, 8 kHz."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "mp3", "-i", "-", "-ac", "1", "-ar", str(RATE),
                           "-f", "s16le", "-"], input=mp3, capture_output=True, timeout=60, check=False)
    samples = array.array("h")
    samples.frombytes(done.stdout[: len(done.stdout) // 2 * 2])
    return samples


def share(samples, hertz):
    """How much of the sound's energy is at this pitch (Goertzel): 0 to 1."""
    energy = sum(sample * sample for sample in samples)
    if not energy:
        return 0.0
    factor = 2 * math.cos(2 * math.pi * hertz / RATE)
    one = two = 0.0
    for sample in samples:
        one, two = sample + factor * one - two, one
    return 2 * (one * one + two * two - factor * one * two) / (len(samples) * energy)


def heard(mp3):
    """tone, music, live, silence, or other."""
    # The ends of a piece that was cut out are no sound of the box.
    samples = decode(mp3)[RATE // 5:]
    # In pieces of 0.1 s, so that a join in the middle does not hide what comes after it: the last ones count.
    piece = samples[-RATE // 2:]
    if len(piece) < RATE // 4 or max(map(abs, piece)) < 30:
        return "silence"
    best = max(NAMES, key=lambda hertz: share(piece, hertz))
    return NAMES[best] if share(piece, best) > 0.6 else "other"


def wait_heard(guest, wanted, limit):
    """Until `/stream` plays this; seconds from now. `wanted` is a set of names, or one."""
    wanted = {wanted} if isinstance(wanted, str) else set(wanted)
    begun = time.monotonic()
    last = "no stream"
    while True:
        if not guest.alive():
            raise Failure("the machine went off while somebody listened")
        mp3 = read_stream(guest.port, 1.0, 20)
        if mp3:
            last = heard(mp3)
        took = time.monotonic() - begun
        if last in wanted:
            return took, last
        if took > limit:
            raise Failure(f"{' or '.join(sorted(wanted))} was not heard within {limit} s: {last}")
        time.sleep(0.5)
