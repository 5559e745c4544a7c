#!/usr/bin/env python3
"""`make boot-test`: the box, booted for real in QEMU from the card's image (SPECIFICATION.md, W1, W2, W4).

One line for each promise, with what was measured; 0 if all were kept. Figures of real time mean nothing here (the
processor is emulated, on a machine with other work): rights are asserted, lateness is not.

Usage: tests/box/boot_test.py FOLDER_OF_IMAGES FOLDER [--cuts N] [--seed N]
"""

import argparse
import hashlib
import random
import re
import sys
import time

import cuts
import firmware
from box import PLAY_LIVE, Box, failed_units, make_music, put_files
from guest import Failure
from listen import wait_heard

LIMIT = 300
# What waits between card and air (docs/live.md).
QUEUE_MS = 96


class Report:
    """What was kept and what was not."""

    def __init__(self):
        self.failures = 0

    def step(self, promise, act):
        begun = time.monotonic()
        try:
            figure = act()
        except Failure as failure:
            self.failures += 1
            print(f"FAILED  {promise}: {failure}", flush=True)
            return False
        print(f"ok      {promise}: {figure} ({time.monotonic() - begun:.0f} s)", flush=True)
        return True


def boots(guest):
    guest.wait_shell(LIMIT)
    guest.until("test -z \"$(systemctl list-jobs --no-legend | grep -v confirm)\" && "
                "systemctl is-active -q multi-user.target", LIMIT, 3)
    failed_units(guest)
    return f"multi-user, no failed unit, no ordering cycle; {guest.run('timeout 20 systemd-analyze | head -n 1')}"


def plays_tone(guest):
    wait_heard(guest, "tone", LIMIT)
    ready = guest.run("systemctl show tower -p ActiveEnterTimestampMonotonic --value")
    return f"{guest.since_start():.0f} s after power-on; tower ready at {int(ready) / 1e6:.1f} s of the guest"


def data_grown(guest):
    size = int(guest.run("df -B1 --output=size /data | tail -n 1"))
    card = int(guest.run("blockdev --getsize64 /dev/disk/by-partuuid/52574156-07"))
    if size < 700 << 20 or card < 700 << 20:
        raise Failure(f"/data has {size >> 20} MiB, its partition {card >> 20}")
    return f"/data has {size >> 20} MiB of a card of 2 GiB"


def root_is_verified(guest):
    table = guest.run("dmsetup table --target verity; findmnt -no OPTIONS /; touch /etc/x 2>&1 || true")
    if "verity" not in table or "Read-only" not in table:
        raise Failure(table)
    return "dm-verity under a read-only squashfs"


def plays_music(guest):
    put_files(guest, make_music(guest.music), "/data/music")
    took, _ = wait_heard(guest, "music", 180)
    return f"{took:.0f} s after the last file was there"


def plays_live(guest):
    guest.run("modprobe snd-aloop && udevadm settle -t 60")
    guest.run(PLAY_LIVE)
    took, _ = wait_heard(guest, "live", 180)
    return f"{took:.0f} s after the card was plugged in"


def has_rights(guest):
    """Of the unprivileged user's threads: who is real-time, and how much is locked."""
    guest.until(f"test $(($(date +%s) - $(date -d \"$(systemctl show tower -p ActiveEnterTimestamp --value)\" +%s))) -gt 5",
                60)
    script = r"""pid=$(systemctl show tower -p MainPID --value)
ps -o user= -p $pid
for task in /proc/$pid/task/*; do echo "$(cat $task/comm) $(chrt -p ${task##*/} | tr '\n' ' ')"; done | grep FIFO
grep VmLck /proc/$pid/status; cat /proc/$pid/status | grep CapEff"""
    text = guest.run(script)
    found = re.findall(r"(\S+) pid .*?SCHED_FIFO.*?priority: (\d+)", text)
    locked = int(re.search(r"VmLck:\s+(\d+)", text)[1])
    if not text.startswith("retrowaves") or len(found) < 2 or locked < 1000 or "CapEff:\t0000000000000000" not in text:
        raise Failure(text)
    return f"user retrowaves, no capability, {locked} kB locked, SCHED_FIFO " + ", ".join(f"{n} {p}" for n, p in found)


def unplugged(guest):
    """The card's driver is unbound while it captures: ENODEV. When that was and when the station was on air
    are both the guest's own time: that of the shell, and that of the tower's log."""
    wait_heard(guest, "live", 120)
    text = guest.run("before=$EPOCHREALTIME; echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind; "
                     "echo $before; sleep 3; "
                     "grep 'on air:' /var/log/retrowaves/tower.log | tail -n 1")
    lines = text.splitlines()
    if "(live)" not in lines[-1].split("->")[0] or "station" not in lines[-1].split("->")[1]:
        raise Failure(f"the last change on air was not from live to the station: {text}")
    stamp = re.match(r"(\S+)Z", lines[-1])[1]
    at = time_of(stamp)
    took = at - float(lines[0])
    wait_heard(guest, "music", 60)
    # What the card had given is heard to its end before that: the queue of 96 ms, and the tick that finds it empty.
    if took > (QUEUE_MS + 100) / 1000:
        raise Failure(f"the station was on air {took * 1000:.0f} ms after the card was gone: {text}")
    return f"the station was on air {took * 1000:.0f} ms (guest time) after the card was gone, {QUEUE_MS} of which the card was still heard"


def time_of(stamp):
    import datetime
    return datetime.datetime.fromisoformat(stamp).replace(tzinfo=datetime.timezone.utc).timestamp()


def plugged_again(guest):
    guest.run("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind; udevadm settle -t 60; "
              "systemctl restart retrowaves-test-player")
    took, _ = wait_heard(guest, "live", 180)
    return f"live again after {took:.0f} s"


def recovers(guest, script):
    """After what the script does, the stream plays a programme again, from new processes."""
    pids = "systemctl show tower station -p MainPID --value"
    old = guest.run(pids).split()
    guest.run(script)
    took, _ = guest.until("now=$(" + pids + "); for pid in $now; do [ $pid != 0 ] && case ' %s ' in *\" $pid \"*) exit 1 ;; "
                          "esac; done; systemctl is-active tower station" % " ".join(old), 120)
    more, what = wait_heard(guest, {"live", "music"}, 180)
    return f"new processes after {took:.0f} s, {what} on air {more:.0f} s later"


def hangs(guest):
    """SIGSTOP: it neither ends nor answers; systemd's watchdog is what is left."""
    guest.run("kill -STOP $(systemctl show tower -p MainPID --value)")
    old = guest.run("systemctl show tower -p MainPID --value")
    took, _ = guest.until(f"[ $(systemctl show tower -p MainPID --value) != {old} ] && systemctl is-active tower", 120)
    said = guest.run("journalctl -b -u tower --no-pager | grep -ci watchdog")
    more, what = wait_heard(guest, {"live", "music"}, 180)
    return f"started anew after {took:.0f} s (watchdog, {said} lines), {what} on air {more:.0f} s later"


def fingerprint(card, partition, size):
    digest = hashlib.sha256()
    with open(card, "rb") as file:
        file.seek(firmware.partition_start(card, partition))
        while size > 0:
            digest.update(file.read(min(size, 1 << 20)))
            size -= 1 << 20
    return digest.hexdigest()


def system_untouched(card, before):
    after = {partition: fingerprint(card, partition, 64 << 20) for partition in before}
    changed = [str(partition) for partition in before if before[partition] != after[partition]]
    if changed:
        raise Failure(f"partitions {', '.join(changed)} were written to")
    return f"partitions {', '.join(map(str, before))}: not a byte was written since this boot"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("folder")
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    report = Report()
    box = Box(f"{args.images}/retrowaves-virt-1.0.0.img", args.folder, "boot-test")
    for number, kind in enumerate(cuts.plan(args.cuts, ["first", "first", "boot"]), 1):
        report.step(f"W2 power cut {number}", lambda kind=kind: cuts.cut(box, kind, random.Random(f"{args.seed}-{number}")))
    with box.start() as guest:
        guest.music = f"{args.folder}/music"
        if not report.step("W1 the box boots", lambda: boots(guest)):
            # Where it stands helps; the rest cannot be judged.
            print(guest.ask("systemctl list-jobs; journalctl -b -p warning -n 40 --no-pager", 60)[1] if guest.channel else "")
            return 1
        report.step("W1 /stream plays tone without a person", lambda: plays_tone(guest))
        report.step("W2 the data partition has the whole card", lambda: data_grown(guest))
        report.step("W2 the root is verified and read-only", lambda: root_is_verified(guest))
        report.step("W2 no journal of a file system asks for help", lambda: cuts.data_is_sound(guest))
        before = {partition: fingerprint(box.card, partition, 64 << 20) for partition in (1, 2, 3, 5, 6)}
        report.step("W1 the station's music", lambda: plays_music(guest))
        report.step("W1 live from a real ALSA card", lambda: plays_live(guest))
        report.step("W4 real time and locked memory, unprivileged", lambda: has_rights(guest))
        report.step("W1 the card is pulled out", lambda: unplugged(guest))
        report.step("W1 the card is plugged in again", lambda: plugged_again(guest))
        report.step("W4 systemctl restart tower station", lambda: recovers(guest, "systemctl restart tower station"))
        report.step("W4 kill -9 of all that user retrowaves runs", lambda: recovers(guest, "pkill -KILL -u retrowaves"))
        report.step("W4 a tower that hangs", lambda: hangs(guest))
        report.step("W2 firmware and root partitions", lambda: system_untouched(box.card, before))
        # Why the tower ended, whenever it did: the three above, and whatever else there was.
        print(guest.ask("journalctl -b -u tower --no-pager -o short-monotonic | "
                        "grep -E 'Main process exited|[Ww]atchdog|Failed with' | tail -n 20", 60)[1], flush=True)
    print("boot-test: " + ("all kept" if not report.failures else f"{report.failures} not kept"), flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
