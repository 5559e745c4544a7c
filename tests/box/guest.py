"""A box in QEMU: started, asked, cut off.

It drives one guest by its second console (tests/box/shell.sh) and by its HTTP port. Whatever is waited for
has a limit; what goes past it is `Failure`. It must never leave a QEMU running: use `with`.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request


class Failure(Exception):
    """A promise that was not kept, in words."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


MACHINES = {
    "virt": {
        "shell": "hvc0",
        "console": "ttyAMA0",
        "options": ["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"],
        "disk": ["-drive", "file={disk},format=raw,if=virtio,cache=writeback"],
        "net": ["-device", "virtio-net-pci,netdev=n0,romfile="],
        "channel": ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"],
        "more": ["-device", "virtio-rng-pci", "-device", "i6300esb", "-watchdog-action", "reset"],
    },
    "raspi3b": {
        "shell": "ttyS1",
        "console": "ttyAMA0",
        "options": ["-M", "raspi3b"],
        "disk": ["-drive", "file={disk},format=raw,if=sd,cache=writeback"],
        "net": ["-device", "usb-net,netdev=n0"],
        "channel": ["-serial", "chardev:shell"],
        "more": [],
        # QEMU resets a Pi at once when its watchdog is armed, instead of when it is not fed.
        "words": " systemd.watchdog_sec=0",
    },
}


class Guest:
    """One machine with one card. `log` is where its console goes, appended to."""

    def __init__(self, disk, kernel, initrd, cmdline, log, machine="virt", dtb=None):
        self.machine = MACHINES[machine]
        self.disk, self.kernel, self.initrd, self.cmdline, self.log, self.dtb = disk, kernel, initrd, cmdline, log, dtb
        self.port = free_port()
        self.process = None
        self.channel = None
        self.greeted = False
        self.started = None
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def start(self):
        """Power on."""
        self.path = f"{self.log}.shell"
        if os.path.exists(self.path):
            os.unlink(self.path)
        machine = self.machine
        line = f"{self.cmdline} console={machine['console']} retrowaves.test_shell={machine['shell']}{machine.get('words', '')}"
        command = ["qemu-system-aarch64", *machine["options"], "-accel", "tcg", "-nodefaults", "-no-user-config",
                   "-display", "none", "-monitor", "none",
                   "-chardev", f"file,id=console,path={self.log},append=on", "-serial", "chardev:console",
                   "-chardev", f"socket,id=shell,path={self.path},server=on,wait=off", *machine["channel"],
                   "-kernel", self.kernel, "-initrd", self.initrd, "-append", line,
                   *[word.format(disk=self.disk) for word in machine["disk"]],
                   "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-:8000", *machine["net"], *machine["more"],
                   "-action", "reboot=shutdown"]
        if self.dtb:
            command += ["-dtb", self.dtb]
        self.process = subprocess.Popen(["nice", "-n", os.environ.get("BOX_NICE", "15"), *command], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.STDOUT, stdout=open(f"{self.log}.qemu", "ab"))
        self.started = time.monotonic()
        self.greeted = False
        # At once: what the shell says while nobody is connected is lost.
        self._connect(30)

    def cut(self):
        """The plug is pulled."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self.channel:
            self.channel.close()
            self.channel = None

    def since_start(self):
        return time.monotonic() - self.started

    def alive(self):
        return self.process and self.process.poll() is None

    def wait_end(self, limit):
        """Until the machine goes off or restarts (to the host both are QEMU's end)."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"the machine did not go off within {limit} s") from None
        self.cut()

    def _connect(self, limit):
        end = time.monotonic() + limit
        while True:
            if not self.alive():
                raise Failure(f"QEMU ended by itself; see {self.log} and {self.log}.qemu")
            try:
                self.channel = socket.socket(socket.AF_UNIX)
                self.channel.connect(self.path)
                self.pending = b""
                return
            except OSError:
                self.channel = None
            if time.monotonic() > end:
                raise Failure("QEMU gave no second console")
            time.sleep(0.2)

    def _line(self, end):
        while b"\n" not in self.pending:
            self.channel.settimeout(max(0.01, end - time.monotonic()))
            try:
                got = self.channel.recv(65536)
            except TimeoutError:
                raise Failure("the guest's shell did not answer in time") from None
            if not got:
                raise Failure("the machine went off while the shell was asked")
            self.pending += got
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace").strip("\r\x00 ")

    def wait_shell(self, limit=240):
        """Until systemd runs the test's shell."""
        end = time.monotonic() + limit
        while not self.greeted:
            self.greeted = "<<0 0 >>" in self._line(end)
        return self.since_start()

    def ask(self, script, limit=120):
        """Runs a script in the guest as root: its exit code and what it printed."""
        self.wait_shell()
        self.number += 1
        code = base64.b64encode(script.encode()).decode()
        self.channel.sendall(f"{self.number} {code}\n".encode())
        end = time.monotonic() + limit
        while True:
            found = re.search(r"<<(\d+) (\d+) (\S*)>>", self._line(end))
            if found and int(found[1]) == self.number:
                return int(found[2]), base64.b64decode(found[3]).decode(errors="replace")

    def run(self, script, limit=120):
        """The same; anything but 0 is a failure."""
        code, text = self.ask(script, limit)
        if code:
            raise Failure(f"in the guest: `{script.strip()}` ended with {code}: {text.strip()[-2000:]}")
        return text.strip()

    def until(self, script, limit, every=1.0):
        """Asks again and again until the script ends with 0; seconds it took, and its words."""
        begun = time.monotonic()
        while True:
            code, text = self.ask(script, max(30, limit))
            took = time.monotonic() - begun
            if code == 0:
                return took, text.strip()
            if took > limit:
                raise Failure(f"not within {limit} s: `{script.strip()}`: {text.strip()[-2000:]}")
            time.sleep(every)

    def status(self, limit=10):
        """`/status` of the tower, or None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=limit) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None
