#!/usr/bin/env python3
"""`make power-test`: many power cuts at random moments, and after each the box is back on `/stream` (W2).

A cut falls into a first start (a fresh card, whose data partition is being grown), into a later start, into a time
on air, or into the writing of an update. The same seed gives the same moments; a run that was stopped goes on at
the cut that it had come to.

Usage: tests/box/power_test.py FOLDER_OF_IMAGES FOLDER --seed N [--cuts N]
"""

import argparse
import json
import os
import random
import sys
import time

import cuts
from box import Box
from guest import Failure
from update_test import serve

KINDS = ["first", "boot", "first", "run", "update"]


def one(number, seed, images, folder):
    """One cut on a card of its own, and the way back."""
    chance = random.Random(f"{seed}-{number}")
    kind = KINDS[(number - 1) % len(KINDS)]
    box = Box(f"{images}/retrowaves-virt-1.0.0.img", folder, "power-test")
    if kind == "boot":
        # A start that is not the first.
        with box.start() as guest:
            cuts.wait_back(guest)
            guest.cut()
    if kind == "update":
        with box.start() as guest:
            cuts.wait_back(guest)
            guest.ask(f"systemd-run --no-block tower update {serve(images)}/retrowaves-virt-1.1.0.raucb", 60)
            moment = chance.uniform(0, 40)
            time.sleep(moment)
            guest.cut()
        where = f"update, {moment:.1f} s after it began"
    else:
        where = cuts.cut(box, kind, chance)
    with box.start() as guest:
        took = cuts.wait_back(guest)
        sound = cuts.data_is_sound(guest)
        return f"{where}; back on /stream {took:.0f} s after power-on; {sound}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cuts", type=int, default=50)
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    remembered = os.path.join(args.folder, f"power-test-{args.seed}.json")
    done = {}
    if os.path.exists(remembered):
        with open(remembered, encoding="utf-8") as file:
            done = json.load(file)
    print(f"seed {args.seed}, {args.cuts} cuts, {len(done)} of them done before", flush=True)
    for number in range(1, args.cuts + 1):
        if str(number) in done:
            continue
        try:
            done[str(number)] = "ok      " + one(number, args.seed, args.images, args.folder)
        except Failure as failure:
            done[str(number)] = f"FAILED  {failure}"
        print(f"{done[str(number)].replace('  ', f'  cut {number}: ', 1)}", flush=True)
        with open(remembered, "w", encoding="utf-8") as file:
            json.dump(done, file)
    failed = [number for number, words in done.items() if words.startswith("FAILED")]
    print(f"power-test: {len(done) - len(failed)} of {len(done)} cuts, and the box came back" +
          (f"; not after {', '.join(failed)}" if failed else ""))
    # The next run with this seed begins anew.
    os.unlink(remembered)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
