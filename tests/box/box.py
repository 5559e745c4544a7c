"""One card and the machine it lies in: copied from an image, prepared as an owner would, started by the stand-in
for the firmware, and asked what every test of the box asks."""

import os
import socket
import subprocess
import threading

import firmware
from guest import Failure, Guest
from listen import LIVE_HZ, MUSIC_HZ

# An emulated processor is slower than any Pi: FFmpeg starts in seconds, stands still for some when the host is
# busy, and is tried again at once. Everything else is as the box has it.
TOWER_TOML = """[encoder]
ffmpeg = "/usr/lib/retrowaves-test-ffmpeg"
backoff_ms = [500]
max_restarts = 1000
startup_timeout_ms = 60000
stall_ms = 20000
cushion_ms = 3000
bitrate = "64k"
spare = false

[live]
device = "hw:CARD=Loopback,DEV=1"
"""


class Box:
    """A card in `folder`; `machine` as guest.MACHINES has it."""

    def __init__(self, image, folder, name, machine="virt", dtb=None, size="2G"):
        self.folder, self.name, self.machine, self.dtb = folder, name, machine, dtb
        os.makedirs(folder, exist_ok=True)
        self.card = os.path.join(folder, f"{name}.img")
        self.log = os.path.join(folder, f"{name}.log")
        for old in (self.card, self.log):
            if os.path.exists(old):
                os.unlink(old)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, self.card], check=True, timeout=120)
        subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", self.card, size], check=True, timeout=60)
        firmware.make_folder(self.card, 1, "retrowaves")
        firmware.write_file(self.card, 1, "retrowaves/tower.toml", TOWER_TOML)

    def start(self):
        """Power on; the guest that runs then, and the slot it was started from."""
        begin = firmware.what_starts(self.card, firmware.take_tryboot(self.card), self.folder)
        guest = Guest(self.card, begin["kernel"], begin["initramfs"], begin["cmdline"], self.log, self.machine, self.dtb)
        guest.slot = begin["slot"]
        guest.start()
        return guest


def make_music(folder):
    """Three short pieces of one pitch, as somebody's own files."""
    os.makedirs(folder, exist_ok=True)
    files = []
    for number, kind in enumerate(("mp3", "flac", "wav"), 1):
        path = os.path.join(folder, f"song-{number}.{kind}")
        if not os.path.exists(path):
            subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i",
                            f"sine=frequency={MUSIC_HZ}:sample_rate=48000:duration=30", "-ac", "2",
                            "-metadata", f"title=Song {number}", "-metadata", f"artist=Artist {number}", path],
                           check=True, timeout=60)
        files.append(path)
    return files


def put_files(guest, files, folder):
    """Files into the guest, by its network: each beside, and then renamed, since half a file is not for the station."""
    guest.run(f"mkdir -p {folder}")
    for path in files:
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(60)
            threading.Thread(target=send, args=(door, path), daemon=True).start()
            guest.run(f"cat </dev/tcp/10.0.2.2/{door.getsockname()[1]} >{folder}/.new && [ -s {folder}/.new ] && "
                      f"mv {folder}/.new {folder}/{os.path.basename(path)}")
    guest.run(f"sync {folder}")


def send(door, path):
    line, _ = door.accept()
    with line, open(path, "rb") as file:
        line.sendall(file.read())


# Both ends of the loopback have one format, the one of who came first: plughw: takes what the tower has taken.
PLAY_LIVE = f"""systemctl is-active -q retrowaves-test-player || systemd-run -q --unit=retrowaves-test-player \
-p Restart=always -p RestartSec=0.2 -p StartLimitIntervalSec=0 \
speaker-test -D plughw:CARD=Loopback,DEV=0 -r 48000 -c 2 -F S16_LE -t sine -f {LIVE_HZ} -l 0"""


def failed_units(guest):
    """Failed units, and ordering cycles that systemd has broken: both have to be none."""
    failed = guest.run("systemctl list-units --failed --plain --no-legend --no-pager | awk '{print $1}'")
    if failed:
        words = guest.ask(f"for unit in {' '.join(failed.split())}; do journalctl -b -u $unit -n 8 --no-pager; done")[1]
        raise Failure(f"units failed: {' '.join(failed.split())}\n{words}")
    cycles = guest.run("journalctl -b --no-pager | grep -i 'ordering cycle' || true")
    if cycles:
        raise Failure(f"ordering cycle: {cycles}")
