#!/usr/bin/env python3
"""The same card as an SD card of an emulated Raspberry Pi 3 (QEMU's raspi3b): it boots to `/stream` (W1).

The processor, its SD controller, its watchdog and its USB network are a Pi's; the kernel is Debian's, with its
device tree of a Pi 3, loaded by QEMU: the Pi's firmware is not in it, and the emulated USB is slow.

Usage: tests/box/pi_test.py FOLDER_OF_IMAGES FOLDER
"""

import argparse
import glob
import sys

from boot_test import Report, boots, data_grown, plays_tone, root_is_verified
from box import Box


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("folder")
    args = parser.parse_args()
    dtb = glob.glob(f"{args.images}/kernel/usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb")[0]
    report = Report()
    box = Box(f"{args.images}/retrowaves-virt-1.0.0.img", args.folder, "pi-test", "raspi3b", dtb)
    with box.start() as guest:
        if report.step("W1 the SD card boots on a Pi 3", lambda: boots(guest)):
            report.step("W1 the machine", lambda: guest.run(
                "echo $(tr -d '\\0' </proc/device-tree/model), $(cat /sys/class/watchdog/watchdog0/identity)"))
            report.step("W1 /stream plays tone without a person", lambda: plays_tone(guest))
            report.step("W2 the data partition has the whole card", lambda: data_grown(guest))
            report.step("W2 the root is verified and read-only", lambda: root_is_verified(guest))
    print("pi-test: " + ("all kept" if not report.failures else f"{report.failures} not kept"), flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
