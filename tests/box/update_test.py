#!/usr/bin/env python3
"""Updates of the box, end to end in QEMU (SPECIFICATION.md, W5): A -> B, B -> bad C -> back to B, and what is refused.

RAUC, the signatures and both slots are real; the firmware's choice is that of tests/box/firmware.py, which reads
the same autoboot.txt and config.txt of the card.

Usage: tests/box/update_test.py FOLDER_OF_IMAGES FOLDER [--seed N]
"""

import argparse
import functools
import http.server
import os
import random
import shutil
import sys
import threading
import time

import cuts
import firmware
from boot_test import Report, fingerprint
from box import Box, put_files
from guest import Failure
from listen import wait_heard

LIMIT = 300
# Healthy for 60 s without a break, on a machine that is emulated and busy.
CONFIRM_LIMIT = 420


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """The bundles by HTTP, as from a server of ours."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://10.0.2.2:{server.server_address[1]}"


def runs(guest, slot, version):
    guest.wait_shell(LIMIT)
    cmdline, found = guest.run("cat /proc/cmdline; grep IMAGE_VERSION /etc/os-release").splitlines()
    if f"rauc.slot={slot}" not in cmdline or version not in found:
        raise Failure(f"{found} runs: {cmdline}")
    cuts.wait_back(guest)
    return f"slot {slot}, version {version}, on air {guest.since_start():.0f} s after power-on"


def state(box):
    """All that an update may change: what the firmware reads, and the other slot."""
    return {1: firmware.read_file(box.card, 1, "autoboot.txt"),
            **{at: fingerprint(box.card, at, 64 << 20) for at in (2, 3, 5, 6)}}


def refused(box, guest, command, words):
    before = state(box)
    code, text = guest.ask(command, 200)
    if code == 0:
        raise Failure(f"was taken: {text}")
    if not any(word in text.lower() for word in words):
        raise Failure(f"refused for another reason: {text}")
    guest.run("sync")
    after = state(box)
    changed = [str(at) for at in before if before[at] != after[at]]
    if changed:
        raise Failure(f"refused, and yet partitions {changed} have changed: {text}")
    return f"\"{text.strip().splitlines()[-1][:160]}\"; nothing changed"


def update(guest, url):
    text = guest.run(f"tower update {url} 2>&1", 280)
    return text.splitlines()[-1]


def restart_into_trial(guest):
    guest.ask("systemd-run --on-active=1 --timer-property=AccuracySec=100ms tower box restart-into-trial", 60)
    guest.wait_end(150)


def confirmed(box, guest, partition):
    begun = time.monotonic()
    while firmware.boot_partition(box.card, False) != partition:
        if time.monotonic() - begun > CONFIRM_LIMIT:
            raise Failure("not made good: " + guest.ask("journalctl -b -u retrowaves-confirm -n 15 --no-pager; "
                                                         "tower status | head -40", 60)[1])
        time.sleep(2)
    return f"autoboot.txt names partition {partition}, {guest.since_start():.0f} s after power-on"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    report = Report()
    step = report.step
    bundle = "retrowaves-virt-{}.raucb".format
    served = os.path.join(args.folder, "served")
    os.makedirs(served, exist_ok=True)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        shutil.copy(os.path.join(args.images, bundle(version)), os.path.join(served, bundle(version)))
    with open(os.path.join(served, bundle("1.1.0")), "rb") as whole, open(os.path.join(served, "half.raucb"), "wb") as half:
        half.write(whole.read()[: os.path.getsize(whole.name) // 2])
    shutil.copy(os.path.join(args.images, "foreign", bundle("1.3.0")), os.path.join(served, "foreign.raucb"))
    url = serve(served)
    box = Box(os.path.join(args.images, "retrowaves-virt-1.0.0.img"), args.folder, "update-test")

    with box.start() as guest:
        if not step("W5 slot A runs", lambda: runs(guest, "A", "1.0.0")):
            return 1
        step("W5 a wrong signature is refused", lambda: refused(
            box, guest, f"tower update {url}/foreign.raucb", ["sign", "verif", "trust"]))
        step("W5 half a file is refused", lambda: refused(
            box, guest, f"tower update {url}/half.raucb", ["sign", "bundle", "short", "magic", "size"]))
        moment = chance.uniform(2, 25)

        def cut_while_writing():
            guest.ask(f"systemd-run --no-block tower update {url}/{bundle('1.1.0')}", 60)
            time.sleep(moment)
            guest.cut()
            return f"{moment:.1f} s after it began"
        step("W5 power cut while an update is written", cut_while_writing)
    with box.start() as guest:
        step("W5 slot A still runs", lambda: runs(guest, "A", "1.0.0"))
        if not step("W5 an update by URL", lambda: update(guest, f"{url}/{bundle('1.1.0')}")):
            return 1
        step("W5 the restart into the trial", lambda: restart_into_trial(guest))
    with box.start() as guest:
        step("W5 slot B runs, on trial", lambda: runs(guest, "B", "1.1.0"))
        step("W5 no update from a slot on trial", lambda: refused(
            box, guest, f"tower update {url}/{bundle('1.2.0')}", ["trial"]))
        step("W5 made good when healthy for 60 s", lambda: confirmed(box, guest, 3))
        step("W5 an older version is refused by tower", lambda: refused(
            box, guest, f"tower update {url}/{bundle('1.0.0')}", ["newer", "older"]))
        # RAUC itself streams only from servers that know ranges, which this one does not.
        put_files(guest, [os.path.join(served, bundle("1.0.0"))], "/data")
        step("W5 an older version is refused by the bundle", lambda: refused(
            box, guest, f"rauc install /data/{bundle('1.0.0')}", ["older"]))
        guest.cut()
    with box.start() as guest:
        step("W5 slot B runs at an ordinary start", lambda: runs(guest, "B", "1.1.0"))
        step("W5 an update to a bad version", lambda: update(guest, f"{url}/{bundle('1.2.0')}"))
        step("W5 the restart into the trial of it", lambda: restart_into_trial(guest))
    with box.start() as guest:
        def goes_back():
            if guest.slot != "A":
                raise Failure(f"slot {guest.slot} was started")
            guest.wait_end(LIMIT)
            return "it ended by itself, with a kernel panic as its init has none"
        step("W5 the bad version in slot A does not come up", goes_back)
    with box.start() as guest:
        step("W5 slot B is back by itself", lambda: runs(guest, "B", "1.1.0"))
    print("update-test: " + ("all kept" if not report.failures else f"{report.failures} not kept"), flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
