"""The players: how each is started without a screen and a sound card, and how it tells what it plays.

`paced`: it plays in real time, as with a sound card, so its position tells how far behind the air it is; the others
take the stream as it comes and write it down.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

from rig import Failure


def first_line(command, pattern):
    """A version, as the player says it."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"


class Player:
    """One player in a folder of its own."""

    name = version = "?"
    paced = False
    # What it would say of a stumble.
    complaint = r"(?i)underrun|underflow|too late|buffer deadlock|corrupt|invalid data|header missing|broken pipe"
    # It can show titles.
    shows_titles = True
    # Seconds that it is given at once.
    burst = 2.0
    # Behind the air, where it is paced: what it was given, and its start.
    behind_most = 4.0
    # What is looked at of its sound.
    listened_to = "every sample heard"

    def __init__(self, place):
        self.place = place
        self.folder = place.folder_for(self.name)
        self.wav, self.log = f"{self.folder}/sound.wav", f"{self.folder}/log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def spawn(self, command):
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen([*self.place.as_user(self.folder), *command], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True)

    def start(self):
        self.process = self.spawn(self.command())

    def alive(self):
        return self.process.poll() is None

    def look(self):
        """Called ten times a second, for those who have to be asked."""

    def played(self):
        """Seconds so far: here, by what is written."""
        try:
            with open(self.wav, "rb") as file:
                head = file.read(44)
            return (os.path.getsize(self.wav) - 44) / struct.unpack("<I", head[28:32])[0]
        except (OSError, struct.error, ZeroDivisionError):
            return 0.0

    def said(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    def titles(self):
        return []

    def sound(self):
        """A file with what was heard."""
        return self.wav

    def stop(self):
        for number, how in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)):
            if not self.alive():
                return
            # It leads a session of its own: whatever it has started goes too.
            os.killpg(self.process.pid, how)
            try:
                self.process.wait(timeout=5 if number < 2 else None)
            except subprocess.TimeoutExpired:
                pass

    def check(self):
        """What only this player can tell."""
        if found := re.search(self.complaint, self.said()):
            line = next(line for line in self.said().splitlines() if found[0] in line)
            raise Failure(f"it says: {line.strip()[:200]}")


class Curl(Player):
    """Takes what comes; titles are taken out here."""

    name = "curl"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["curl", "--version"], r"curl (\S+)")
        self.raw, self.heads = f"{self.folder}/stream", f"{self.folder}/heads"

    def command(self):
        return ["curl", "-sSN", "-H", "Icy-MetaData: 1", "-D", self.heads, "-o", self.raw, self.place.url]

    def apart(self):
        """Audio, and texts of the titles."""
        with open(self.heads, encoding="latin-1") as file:
            metaint = int(re.search(r"icy-metaint: (\d+)", file.read())[1])
        with open(self.raw, "rb") as file:
            stream = file.read()
        audio, texts, at = b"", [], 0
        while at + metaint < len(stream):
            size = stream[at + metaint] * 16
            audio += stream[at:at + metaint]
            if size:
                texts.append(stream[at + metaint + 1:at + metaint + 1 + size].rstrip(b"\0").decode())
            at += metaint + 1 + size
        return audio + stream[at:], texts

    def played(self):
        return os.path.getsize(self.raw) / 16000 if os.path.exists(self.raw) else 0.0

    def titles(self):
        return [text.removeprefix("StreamTitle='").removesuffix("';") for text in self.apart()[1]]

    def sound(self):
        mp3 = f"{self.folder}/sound.mp3"
        audio = self.apart()[0]
        with open(mp3, "wb") as file:
            file.write(audio[:len(audio) // 384 * 384])
        return mp3


class FFmpeg(Player):
    name = "FFmpeg"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["ffmpeg", "-version"], r"ffmpeg version ([\d.]+)")

    def command(self):
        return ["ffmpeg", "-nostdin", "-nostats", "-v", "verbose", "-i", self.place.url, "-flush_packets", "1", self.wav]

    def titles(self):
        return re.findall(r"Metadata update for StreamTitle: (.*)", self.said())


class Mpv(Player):
    """By way of the .m3u, with a null output that plays in real time."""

    name = "mpv"
    paced = True
    listened_to = "its position and its waits looked at"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["mpv", "--version"], r"mpv (\S+)")
        self.socket, self.line, self.at, self.seen, self.waits = f"{self.folder}/ipc", None, 0.0, [], 0

    def command(self):
        return ["mpv", "--no-config", "--no-video", "--no-terminal", f"--log-file={self.folder}/mpv.log", "--ao=null",
                f"--input-ipc-server={self.socket}", self.place.url + ".m3u"]

    def ask(self, what):
        self.line.write(json.dumps({"command": ["get_property", what]}) + "\n")
        self.line.flush()
        while True:
            answer = json.loads(self.line.readline())
            if "error" in answer:
                return answer.get("data")

    def look(self):
        try:
            if not self.line:
                unix = socket.socket(socket.AF_UNIX)
                unix.settimeout(5)
                unix.connect(self.socket)
                self.line = unix.makefile("rw", encoding="utf-8")
            self.at = self.ask("audio-pts") or self.at
            title = (self.ask("metadata") or {}).get("icy-title")
            if title and title not in self.seen[-1:]:
                self.seen.append(title)
            if self.at > 0:
                self.waits += bool(self.ask("paused-for-cache"))
        except (OSError, ValueError):
            pass

    def played(self):
        return self.at

    def titles(self):
        return self.seen

    def sound(self):
        return None

    def check(self):
        with open(f"{self.folder}/mpv.log", encoding="utf-8", errors="replace") as log:
            if found := re.search(r".*(?i:underrun|packet too|error while decoding).*", log.read()):
                raise Failure(f"it says: {found[0][:200]}")
        if self.waits:
            raise Failure("it waited for its cache")


class MpvToFile(Player):
    """The same, to a file: what would be heard. By way of the .pls."""

    name = "mpv --ao=pcm"
    shows_titles = False

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["mpv", "--version"], r"mpv (\S+)")

    def command(self):
        return ["mpv", "--no-config", "--no-video", "--no-terminal", f"--log-file={self.log}", "--ao=pcm",
                f"--ao-pcm-file={self.wav}", self.place.url + ".pls"]


class Vlc(Player):
    """By way of the .xspf. It refuses to be run by root."""

    name = "VLC"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line([*place.as_user(self.folder), "vlc", "--version"], r"VLC version (\S+)")

    def command(self):
        return ["cvlc", "-vv", "--no-color", "-I", "dummy", "--aout=afile", f"--audiofile-file={self.wav}",
                self.place.url + ".xspf"]

    def titles(self):
        return re.findall(r"New Icy-Title=(.*)", self.said())


class Mpg123(Player):
    """By way of the .m3u."""

    name = "mpg123"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["mpg123", "--version"], r"mpg123 (\S+)")

    def command(self):
        return ["mpg123", "-w", self.wav, "-@", self.place.url + ".m3u"]

    def titles(self):
        return re.findall(r"ICY-META: StreamTitle='(.*)';", self.said())


class GStreamer(Player):
    """In real time: its file takes samples when they are due."""

    name = "GStreamer"
    paced = True

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["gst-launch-1.0", "--version"], r"GStreamer (\S+)")

    def command(self):
        return ["gst-launch-1.0", "-t", "-e", "souphttpsrc", f"location={self.place.url}", "iradio-mode=true", "!",
                "icydemux", "!", "mpegaudioparse", "!", "mpg123audiodec", "!", "audioconvert", "!",
                "audio/x-raw,format=S16LE", "!", "wavenc", "!", "filesink", "sync=true", "buffer-mode=unbuffered",
                f"location={self.wav}"]

    def titles(self):
        seen = []
        for title in re.findall(r"^\s+title: (.*)$", self.said(), re.M):
            if title not in seen[-1:]:
                seen.append(title)
        return seen


class Mpd(Player):
    """Told by mpc to play the .pls, with two outputs: null, in real time, and a recorder."""

    name = "MPD"
    paced = True

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["mpd", "--version"], r"Music Player Daemon (\S+)")
        self.socket, self.at, self.seen = f"{self.folder}/socket", 0.0, []
        with open(f"{self.folder}/mpd.conf", "w", encoding="utf-8") as file:
            file.write(f"""bind_to_address "{self.socket}"
log_file "{self.folder}/mpd.log"
audio_output {{
    type "null"
    name "null"
}}
audio_output {{
    type "recorder"
    name "wav"
    path "{self.wav}"
    encoder "wave"
}}
""")

    def command(self):
        return ["mpd", "--no-daemon", f"{self.folder}/mpd.conf"]

    def start(self):
        super().start()
        end = time.monotonic() + 20
        while not os.path.exists(self.socket) and time.monotonic() < end:
            time.sleep(0.05)
        for words in (["load", self.place.url + ".pls"], ["play"]):
            subprocess.run([*self.place.as_user(self.folder), "mpc", f"--host={self.socket}", "--quiet", *words],
                           check=True, timeout=30, stdout=subprocess.DEVNULL)

    def look(self):
        try:
            with socket.socket(socket.AF_UNIX) as unix:
                unix.settimeout(5)
                unix.connect(self.socket)
                line = unix.makefile("rw", encoding="utf-8")
                line.write("command_list_begin\nstatus\ncurrentsong\ncommand_list_end\n")
                line.flush()
                line.readline()
                facts = {}
                while (said := line.readline().rstrip("\n")) not in ("OK", "") and not said.startswith("ACK"):
                    key, _, value = said.partition(": ")
                    facts[key] = value
        except OSError:
            return
        self.at = float(facts.get("elapsed", self.at))
        if (title := facts.get("Title")) and title not in self.seen[-1:]:
            self.seen.append(title)

    def played(self):
        return self.at

    def titles(self):
        return self.seen

    def said(self):
        try:
            with open(f"{self.folder}/mpd.log", encoding="utf-8", errors="replace") as log:
                return super().said() + log.read()
        except OSError:
            return super().said()
