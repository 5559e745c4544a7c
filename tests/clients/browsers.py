"""Browsers: `page.html` in each, without a screen; it tells a small server here what its player does.

The page is of another origin than the stream, as pages with players are. Chromium has a null output that takes
samples in real time, and the page listens to each of them. Firefox has none where there is no sound card: it plays
by the system's clock, and nothing is to be heard in it.
"""

import http.server
import json
import os
import threading
import urllib.parse

from players import Player, first_line
from rig import LEVEL, PITCHES, Failure, decibels

HERE = os.path.dirname(os.path.abspath(__file__))


class Browser(Player):
    """A page with a player in it."""

    paced = True
    # 64 KiB at 128 kbit/s: src/door/wishes.rs.
    burst = 4.096
    # A browser takes its time to begin where other work is done.
    behind_most = 9.0

    def __init__(self, place):
        super().__init__(place)
        self.now, self.songs = {}, []
        with open(f"{HERE}/page.html", "rb") as file:
            page = file.read()
        browser = self

        class Desk(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path.startswith("/?")
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page if found else b"")

            def do_POST(self):
                report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                browser.take(report)

            def log_message(self, *_):
                pass

        self.desk = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        threading.Thread(target=self.desk.serve_forever, daemon=True).start()
        self.page = f"http://127.0.0.1:{self.desk.server_port}/?stream={urllib.parse.quote(place.url, safe='')}"

    def take(self, report):
        self.now = report
        song = min(range(len(PITCHES)), key=lambda song: abs(PITCHES[song] - report["hertz"]))
        if report["rms"] > 0.01 and abs(PITCHES[song] - report["hertz"]) < 12 and song not in self.songs[-1:]:
            self.songs.append(song)

    def played(self):
        return self.now.get("position", 0.0)

    def titles(self):
        return [text.removeprefix("StreamTitle='").removesuffix("';") for text in self.now.get("titles", [])]

    def sound(self):
        return None

    def stop(self):
        super().stop()
        self.desk.shutdown()
        with open(f"{self.folder}/last-report", "w", encoding="utf-8") as file:
            json.dump(self.now, file, ensure_ascii=False, indent=1)

    def check(self):
        now = self.now
        if now["error"] or now["media_error"] or now["paused"]:
            raise Failure(f"{now['error'] or now['media_error'] or 'it is paused'}")
        stumbles = [f"{name} at {at:.2f} s" for name, at in now["events"]
                    if at > 0.1 and name in ("waiting", "stalled", "error", "ended", "pause", "emptied")]
        if stumbles:
            raise Failure("; ".join(stumbles))


class Chromium(Browser):
    name = "Chromium"
    listened_to = "every sample heard, pitch and level four times a second"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["chromium", "--version"], r"Chromium (\S+)")

    def command(self):
        return ["chromium", "--headless=new", f"--user-data-dir={self.folder}/profile", "--no-first-run", "--disable-gpu",
                "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
                *self.place.chromium_flags, self.page]

    def check(self):
        super().check()
        now = self.now
        if now["silent"]:
            raise Failure(f"{now['silent']} of {now['quanta']} times 128 samples without sound, "
                          f"{now['longest_silent'] * 128000 / now['rate']:.0f} ms at a time")
        heard = now["quanta"] * 128 / now["rate"]
        if heard < now["position"] - 1:
            raise Failure(f"{heard:.1f} s were heard of {now['position']:.1f}")
        if abs(decibels(now["rms"] * 2 ** 0.5 / LEVEL)) > 1:
            raise Failure(f"its level is {now['rms']}")


class Firefox(Browser):
    name = "Firefox"
    listened_to = "its position and its events looked at"

    def __init__(self, place):
        super().__init__(place)
        self.version = first_line(["firefox-esr", "--version"], r"Firefox (\S+)")
        profile = f"{self.folder}/profile"
        os.makedirs(profile)
        with open(f"{profile}/user.js", "w", encoding="utf-8") as file:
            for key, value in (("media.autoplay.default", 0), ("media.autoplay.blocking_policy", 0),
                               ("browser.shell.checkDefaultBrowser", False), ("app.normandy.enabled", False),
                               ("datareporting.policy.dataSubmissionEnabled", False),
                               ("toolkit.telemetry.enabled", False)):
                file.write(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n")
        place.own(self.folder)

    def command(self):
        return ["firefox-esr", "--headless", "--no-remote", "--profile", f"{self.folder}/profile", self.page]
