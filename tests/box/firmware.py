"""A stand-in for the Raspberry Pi's firmware: it reads the card as the firmware does and says what is started.

`autoboot.txt` of the first partition chooses a boot partition, `[tryboot]` when this start is to be a trial, once.
Of that partition's `config.txt` it knows `kernel`, `initramfs`, `cmdline`, and the filters `[all]` and
`[boot_partition=N]`. What it cannot stand for: the firmware itself, its device trees, its overlays.
"""

import os
import subprocess

from guest import Failure

SECTOR = 512


def partition_start(image, number):
    """In bytes: primary ones from the MBR, logical ones (5 and up) along the chain."""
    def entries(block):
        return [(block[446 + 16 * i + 4], int.from_bytes(block[446 + 16 * i + 8:446 + 16 * i + 12], "little"))
                for i in range(4)]
    with open(image, "rb") as card:
        first = entries(card.read(SECTOR))
        if number <= 4:
            return first[number - 1][1] * SECTOR
        extended = next(start for kind, start in first if kind in (5, 15))
        here = extended
        for at in range(5, number + 1):
            card.seek(here * SECTOR)
            table = entries(card.read(SECTOR))
            if at == number:
                return (here + table[0][1]) * SECTOR
            here = extended + table[1][1]
    raise Failure(f"the card has no partition {number}")


def mtools(image, partition):
    return f"{image}@@{partition_start(image, partition)}"


def read_file(image, partition, name):
    done = subprocess.run(["mtype", "-i", mtools(image, partition), f"::/{name}"], capture_output=True, timeout=60,
                          check=False)
    if done.returncode:
        raise Failure(f"partition {partition} has no {name}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def write_file(image, partition, name, text):
    """Puts a file onto the card, as its owner does on another computer."""
    subprocess.run(["mcopy", "-o", "-D", "o", "-i", mtools(image, partition), "-", f"::/{name}"], input=text.encode(),
                   check=True, timeout=60)


def make_folder(image, partition, name):
    subprocess.run(["mmd", "-D", "s", "-i", mtools(image, partition), f"::/{name}"], capture_output=True, timeout=60,
                   check=False, stdin=subprocess.DEVNULL)


def take_tryboot(image):
    """Whether this start is a trial: the box has left that wish where QEMU's machine has no register for it,
    in `retrowaves/.tryboot` of the first partition. It holds once."""
    where = ["-i", mtools(image, 1), "::/retrowaves/.tryboot"]
    found = subprocess.run(["mdir", "-b", *where], capture_output=True, timeout=60, check=False).returncode == 0
    if found:
        subprocess.run(["mdel", *where], check=True, timeout=60, stdin=subprocess.DEVNULL)
    return found


def boot_partition(image, tryboot):
    """By autoboot.txt: filters `[all]` and `[tryboot]`, the last line that holds counts."""
    chosen, holds = 1, True
    for line in read_file(image, 1, "autoboot.txt").split():
        if line.startswith("["):
            holds = line == "[all]" or (line == "[tryboot]" and tryboot)
        elif holds and line.startswith("boot_partition="):
            chosen = int(line.split("=")[1])
    return chosen


def what_starts(image, tryboot, into):
    """Kernel, initrd and command line of the slot that starts, as files and text; and its letter."""
    partition = boot_partition(image, tryboot)
    settings, holds = {}, True
    for line in read_file(image, partition, "config.txt").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            holds = line in ("[all]", f"[boot_partition={partition}]")
        elif holds and line.startswith("initramfs "):
            settings["initramfs"] = line.split()[1]
        elif holds and "=" in line:
            key, value = line.split("=", 1)
            settings[key] = value
    found = {}
    for name in ("kernel", "initramfs"):
        found[name] = os.path.join(into, f"{name}-{partition}")
        if os.path.exists(found[name]):
            os.unlink(found[name])
        subprocess.run(["mcopy", "-n", "-i", mtools(image, partition), f"::/{settings[name]}", found[name]], check=True,
                       timeout=60, stdin=subprocess.DEVNULL)
    line = read_file(image, partition, settings["cmdline"]).strip()
    return {**found, "cmdline": line, "partition": partition, "slot": {2: "A", 3: "B"}.get(partition, "?")}
