"""What the players listen to: a real station with titled music of pure tones, a real tower, and what both say of themselves.

Every song is a tone of its own, so that a pitch says what is heard, and each lasts a few seconds, so that in a minute
all of them are. Titles are such as break players and servers. Nothing here is shared with a tower that runs already.
"""

import json
import math
import os
import re
import socket
import subprocess
import time
import urllib.request

SONG_SECONDS = 9.9
# A lost frame (24 ms) is half a period of every pitch too much, so it cannot pass unnoticed.
PITCHES = [(10.5 + 2 * number) / 0.024 for number in range(6)]
SONGS = [
    ("Ada", "It's \"quoted\"; isn't it"),
    ("Bärbel Grün", "Grüße 🎷 aus Köln"),
    ("山田", "日本の歌"),
    ("R & B <1>", "100 % = a/b?x=y#z"),
    ("Čeněk", "a long one, " * 12 + "to its end"),
    ("Eve", "Plain"),
]
# Of the songs' samples, full scale being 1.
LEVEL = 0.25


class Failure(Exception):
    """A promise that was not kept; the text says which and what was seen instead."""


def make_music(folder):
    """The songs, as FLAC: they are as long as they are, to the sample."""
    os.makedirs(folder)
    for number, ((artist, title), pitch) in enumerate(zip(SONGS, PITCHES)):
        tone = f"{LEVEL}*sin(2*PI*{pitch}*t)"
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi",
                        "-i", f"aevalsrc={tone}|{tone}:s=48000:d={SONG_SECONDS}", "-metadata", f"title={title}",
                        "-metadata", f"artist={artist}", f"{folder}/song-{number}.flac"], check=True, timeout=60)


class Radio:
    """A station and a tower, started as their users start them."""

    def __init__(self, programs, folder):
        self.folder, self.processes = folder, []
        self.started = time.monotonic()
        make_music(f"{folder}/music")
        env = {"PATH": os.environ["PATH"], "TOWER_SOCKET_PATH": f"{folder}/pcm.sock",
               "TOWER_CONTROL_SOCKET_PATH": f"{folder}/control.sock", "TOWER_LOG_FILE": f"{folder}/tower.log",
               "TOWER_HOST": "127.0.0.1", "TOWER_PORT": "0", "STATION_STATE_DIR": f"{folder}/state",
               "STATION_SOCKET_PATH": f"{folder}/station.sock", "STATION_LOG_FILE": f"{folder}/station.log"}
        said = self.start([f"{programs}/tower", "run", "--set", "log.syslog=false"], env, r"http://\S+:(\d+)/stream")
        self.port = int(said[1])
        self.url = f"http://127.0.0.1:{self.port}/stream"
        # Songs as they are, end to end: what is heard can be compared with them.
        sets = ["log.syslog=false", "rotation.title_gap_min=0", "rotation.hour_id=false", "playout.level=false",
                "playout.crossfade=false"]
        self.start([f"{programs}/station", "run", "--music", f"{folder}/music", *(w for s in sets for w in ("--set", s))],
                   env | {"TOWER_URL": f"http://127.0.0.1:{self.port}"}, r"is playing")

    def start(self, command, env, ready):
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        for line in process.stdout:
            if found := re.search(ready, line):
                return found
        raise Failure(f"{command[0]} ended at its start: {process.wait()}")

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=10) as reply:
            return json.load(reply)

    def wait_on_air(self):
        """Until there are more seconds on air than any player gets at once, and none of them is a song that was joined to
        itself: the station begins with the first file that it finds, and plays it again while it knows no other."""
        varied = None
        while varied is None or time.monotonic() < varied + 6:
            played = self.history()
            if varied is None and len(set(played[-2:])) == 2:
                varied = time.monotonic()
            if time.monotonic() - self.started > 90:
                raise Failure(f"the station played {played}")
            time.sleep(0.2)
        if (status := self.status())["source"] != "station":
            raise Failure(f"the station is not on air: {status}")

    def history(self):
        """Titles as the station played them, the first first."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(f"{self.folder}/station.sock")
            line.sendall(b'{"command": "history", "count": 200}\n')
            answer = json.loads(line.makefile().readline())
        played = sorted(answer["entries"], key=lambda entry: entry["at_unix_ms"])
        return [f"{entry['artist']} - {entry['title']}" for entry in played]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def title_of(number):
    """As players are told it: the tower shortens to 256 letters."""
    artist, title = SONGS[number]
    return f"{artist} - {title[:256]}"


def decibels(ratio):
    return 20 * math.log10(max(ratio, 1e-9))
