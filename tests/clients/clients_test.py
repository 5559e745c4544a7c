#!/usr/bin/env python3
"""`make test-clients`: real players, without screen and sound card, at a real tower that a real station feeds (H1, H5, H6, H7).

Each plays for a while, all at the same time, as an unprivileged user. It has to be connected once and stay so, to
play as many seconds as have passed, without a stumble that it or the ear (sound.py) notices, and to show the
titles of the songs in the order in which they were played. One line for each, with what was measured; 0 if all did.

Usage: tests/clients/clients_test.py PROGRAMS FOLDER [--seconds N] [--only NAME]…
"""

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from browsers import Chromium, Firefox
from players import Curl, FFmpeg, GStreamer, Mpd, Mpg123, Mpv, MpvToFile, Vlc
from rig import SONG_SECONDS, Failure, Radio, title_of
from sound import Heard, check_the_ear, decode

PLAYERS = [Curl, FFmpeg, Mpv, MpvToFile, Vlc, Mpg123, GStreamer, Mpd, Chromium, Firefox]
# Made by scripts/setup.sh where root asks for it; who is not root is unprivileged already.
USER = "retrowaves-clients"
# A browser on a busy machine.
START_SECONDS = 60
# A second connection (VLC's, that of a page's titles) belongs to who has just come.
SETTLE_SECONDS = 1.5


class Place:
    """Where the players are, as whom, and what they listen to."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        self.root = os.geteuid() == 0
        # Where nobody may have a name space of his own (many containers), Chromium's sandbox cannot be.
        alone = subprocess.run([*self.as_user("/"), "unshare", "--user", "true"], check=False, stderr=subprocess.DEVNULL)
        self.chromium_flags = ["--no-sandbox"] if alone.returncode else []

    def folder_for(self, name):
        folder = f"{self.folder}/{re.sub(r'[^a-z0-9]+', '-', name.lower())}"
        os.makedirs(folder)
        self.own(folder)
        return folder

    def own(self, folder):
        if self.root:
            shutil.chown(folder, USER)
            for path, folders, files in os.walk(folder):
                for name in folders + files:
                    shutil.chown(os.path.join(path, name), USER)

    def as_user(self, home):
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if self.root else []
        return [*become, "env", "-i", f"HOME={home}", f"XDG_RUNTIME_DIR={home}", f"PATH={os.environ['PATH']}", "LC_ALL=C.UTF-8"]


class Witness:
    """How long the machine stood still at most: a player that stumbles then is not to blame, nor the tower."""

    def __init__(self):
        self.worst = 0.0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            before = time.monotonic()
            time.sleep(0.01)
            self.worst = max(self.worst, time.monotonic() - before - 0.01)


class Visit:
    """One player's time at the tower."""

    coming = threading.Lock()

    def __init__(self, player, radio, seconds):
        self.player, self.radio, self.seconds = player, radio, seconds
        self.first_sound = self.early = self.late = self.played = self.elapsed = self.failure = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            self.play()
        except Failure as failure:
            self.failure = failure
        except Exception as error:  # whatever a player does to us, the others go on
            self.failure = Failure(f"{type(error).__name__}: {error}")
        finally:
            if self.player.process:
                self.player.stop()

    def play(self):
        player = self.player
        with Visit.coming:
            before = self.radio.status()["listeners"]["total"]
            player.start()
            connected = self.wait_connected(before)
            settled = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < settled:
                self.look(connected)
                time.sleep(0.02)
        while time.monotonic() < connected + self.seconds:
            self.look(connected)
            if self.early is None and time.monotonic() > connected + self.seconds / 4:
                self.early = self.behind(connected)
            time.sleep(0.1)
        player.look()
        self.late, self.played, self.elapsed = self.behind(connected), player.played(), time.monotonic() - connected

    def behind(self, connected):
        """By how much what it plays is older than what is on air."""
        return time.monotonic() - connected + self.player.burst - self.player.played()

    def wait_connected(self, before):
        end = time.monotonic() + START_SECONDS
        while self.radio.status()["listeners"]["total"] == before:
            if not self.player.alive():
                raise Failure(f"it ended before it came: {self.player.said()[-300:]}")
            if time.monotonic() > end:
                raise Failure(f"it did not come within {START_SECONDS} s")
            time.sleep(0.01)
        return time.monotonic()

    def look(self, connected):
        if not self.player.alive():
            raise Failure(f"it ended by itself: {self.player.said()[-300:]}")
        self.player.look()
        if self.first_sound is None and self.player.played() > 0:
            self.first_sound = time.monotonic() - connected

    def judge(self, history):
        """The line for this player; raises what was not kept."""
        if self.failure:
            raise self.failure
        player = self.player
        if self.first_sound is None:
            raise Failure("it never played")
        self.check_time()
        player.check()
        heard = Heard(decode(player.sound())) if player.sound() else None
        order = heard.order() if heard else getattr(player, "songs", None)
        if heard:
            heard.check()
            if abs(heard.level) > 0.5:
                raise Failure(f"its level is {heard.level:+.2f} dB beside the songs'")
            if heard.seconds < self.played - 1.5:
                raise Failure(f"{heard.seconds:.1f} s of sound of {self.played:.1f}")
        titles = player.titles() if player.shows_titles else []
        if player.shows_titles:
            check_titles(titles, history, self.seconds)
        if order:
            check_order([title_of(song) for song in order], titles or once(history))
        held = f"{self.late:.2f} s behind the air" if player.paced else "as it comes"
        shown = f"{len(once(titles))} titles" if player.shows_titles else "titles not looked at"
        return (f"{self.played:.1f} s in {self.elapsed:.1f}, first sound after {self.first_sound:.2f} s, {held}, {shown}, "
                f"{player.listened_to}")

    def check_time(self):
        """As many seconds as pass: whoever plays in real time is behind by what it holds, and stays so; the others by nothing."""
        most = self.player.behind_most if self.player.paced else 1.5
        if not -0.5 <= self.late <= most:
            raise Failure(f"{self.played:.1f} s played in {self.elapsed:.1f}: {self.late:.2f} s behind the air")
        if abs(self.late - self.early) > 0.75:
            raise Failure(f"it was {self.early:.2f} s behind the air, and {self.late:.2f} at the end")


def once(titles):
    """Without repetitions in a row, since players and ears notice changes."""
    return [title for number, title in enumerate(titles) if titles[number - 1:number] != [title]]


def check_titles(titles, history, seconds):
    """They are a part of what the station played, in its order and without a hole, and as many as it played in the time."""
    shown, played = once(titles), once(history)
    # The tower goes by its own name until it was told a first title.
    if shown[:1] == ["Retrowaves"]:
        shown = shown[1:]
    least = int(seconds / SONG_SECONDS) - 1
    if len(shown) < least:
        raise Failure(f"{len(shown)} titles where {least} were played: {shown}")
    if not any(played[at:at + len(shown)] == shown for at in range(len(played))):
        raise Failure(f"titles {shown} are not those that were played: {played}")


def check_order(heard, titles):
    """What was heard goes by the titles that were shown; at the ends one may be known without the other."""
    titles = once(titles)
    for cut in ((0, 0), (0, 1), (1, 0), (1, 1)):
        inner = heard[cut[0]:len(heard) - cut[1]]
        if inner and any(titles[at:at + len(inner)] == inner for at in range(len(titles))):
            return
    raise Failure(f"heard {heard}, shown {titles}")


def run(programs, folder, seconds, only):
    radio = Radio(programs, f"{folder}/radio")
    failures = 0
    try:
        radio.wait_on_air()
        place = Place(f"{folder}/players", radio.url)
        players = [kind(place) for kind in PLAYERS if not only or kind.name in only]
        witness = Witness()
        visits = [Visit(player, radio, seconds) for player in players]
        for visit in visits:
            visit.thread.join()
        history, status = radio.history(), radio.status()
        checks = [(f"{visit.player.name} {visit.player.version}", lambda visit=visit: visit.judge(history)) for visit in visits]
        if players[0].name == "curl" and not visits[0].failure:
            checks.append(("the ear", lambda: f"it notices a frame that is left out, at {check_the_ear(players[0].sound()):.2f} s"))
        for name, check in checks:
            try:
                print(f"ok      {name}: {check()}", flush=True)
            except Failure as failure:
                failures += 1
                print(f"FAILED  {name}: {failure}", flush=True)
        listeners, ticks = status["listeners"], status["ticks"]
        wrong = {"dropped": listeners["dropped_slow"], "rejected": listeners["rejected"], "bad requests": listeners["bad_requests"],
                 "fillers": status["encoder"]["fillers"], "underruns": ticks["underruns"], "skipped ticks": ticks["skipped"]}
        failures += any(wrong.values())
        print(f"{'FAILED' if any(wrong.values()) else 'ok    '}  the tower: {listeners['total']} connections, "
              f"{len(history)} songs, " + ", ".join(f"{count} {name}" for name, count in wrong.items()), flush=True)
        print(f"        the machine stood still for {witness.worst * 1000:.0f} ms at most, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        radio.stop()
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs")
    parser.add_argument("folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", action="append")
    args = parser.parse_args()
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            sys.exit(f"test-clients: there is no user {USER}: scripts/setup.sh clients makes it")
    # Sockets have short names, and another user has to get there: not below the folder, which keeps what is left of a failure.
    scratch = tempfile.mkdtemp(prefix="retrowaves-clients-")
    os.chmod(scratch, 0o755)
    failures = run(os.path.abspath(args.programs), scratch, args.seconds, args.only)
    shutil.rmtree(args.folder, ignore_errors=True)
    if failures or os.environ.get("KEEP"):
        os.makedirs(os.path.dirname(os.path.abspath(args.folder)), exist_ok=True)
        shutil.copytree(scratch, args.folder, ignore=lambda folder, names: [n for n in names if n.endswith((".sock", "ipc", "socket", "profile"))], symlinks=True)
        print(f"what the players wrote and said is in {args.folder}", flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    print("test-clients: " + ("all played" if not failures else f"{failures} failed"), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
