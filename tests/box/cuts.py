"""Power cuts: QEMU is killed at a random moment, and the box has to come back to `/stream`.

What QEMU's end takes is what the guest had not written to its disk yet. A card that loses or tears what it had
taken already is not imitated.
"""

import time

from guest import Failure
from listen import wait_heard

LIMIT = 300
# How long a boot may last until it is cut at the latest, in seconds of the host.
BOOT_MAX = 75


def plan(count, kinds):
    """The first `count` of the kinds, again and again."""
    return [kinds[at % len(kinds)] for at in range(count)]


def wait_back(guest):
    """Whatever happened: the stream is there, and it is sound, not silence."""
    begun = time.monotonic()
    wait_heard(guest, {"tone", "music", "live"}, LIMIT)
    return time.monotonic() - begun


def cut(box, kind, chance):
    """One cut of this kind: first (a boot of a card that has not come up yet), boot, run."""
    with box.start() as guest:
        if kind == "run":
            wait_back(guest)
            moment = chance.uniform(0, 20)
            where = f"{moment:.1f} s after the stream was there"
        else:
            moment = chance.uniform(4, BOOT_MAX)
            where = f"{moment:.1f} s after power-on"
        end = time.monotonic() + moment
        while time.monotonic() < end:
            if not guest.alive():
                raise Failure(f"the machine ended by itself; see {guest.log}")
            time.sleep(0.05)
        guest.cut()
    return f"{kind}, {where}"


def data_is_sound(guest):
    """ext4 replays its journal by itself; more than that would be an error."""
    text = guest.run("dmesg | grep -E 'EXT4-fs (error|warning)|FAT-fs.*(error|corrupt)|I/O error' || true")
    if text:
        raise Failure(text)
    return guest.run("dmesg | grep -ciE 'EXT4-fs.*recovery complete' || true") + " journal replays in this boot, no error"
