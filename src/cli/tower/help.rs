//! The help texts.

use super::args::Topic;

const TOWER: &str = "\
tower: a radio station's transmitter. Every 24 ms exactly one MP3 frame is on air.

Usage: tower run      start it; no configuration is needed
       tower status   is it healthy, what is on air
       tower config   every setting and where it came from
       tower probe    does FFmpeg work here
       tower devices  which sound cards there are, and what to write into live.device
       tower meter    levels, of a running tower or of a card
       tower update   on the box only: a new version of it
       tower box      on the box only: what its services call
       tower --version

`tower COMMAND --help` says more.
Exit codes: 0 done, 1 the machine refused or the tower is not healthy, 2 wrong arguments or configuration.
";

const LAYERS: &str = "
      --config FILE          settings (default: /etc/retrowaves/tower.toml, if it is there)
      --set table.key=value  one setting; may be given many times
  -h, --help
  -V, --version

Defaults < vendor's file (/usr/lib/retrowaves) < file < environment (TOWER_*) < --set. `tower config` shows the result.
";

const RUN: &str = "\
Usage: tower run [--config FILE] [--set table.key=value]…

Starts the tower and stays in the foreground. SIGTERM and SIGINT stop it, SIGHUP opens the log again.
";

const CONFIG: &str = "\
Usage: tower config [--config FILE] [--set table.key=value]…
       tower config --check FILE

Prints every setting, where it came from, and where the sockets are. Changes nothing.

      --check FILE           check this file by itself: says ok, or all that is wrong (exit code 2)";

const STATUS: &str = "\
Usage: tower status [--url URL] [--config FILE] [--set table.key=value]…

Asks a tower how it is. Exit code 0 only if it is healthy.

      --url URL              of the tower (default: the configured port of this machine)";

const PROBE: &str = "\
Usage: tower probe --silence | --tone | --file FILE [--timeout-ms N] [--config FILE] [--set table.key=value]…

Runs FFmpeg as the tower would and reports frames, time to the first one, backlog and what FFmpeg said.
Exit code 0 only if MP3 frames came in time.

      --silence              feed it silence
      --tone                 feed it the fallback tone
      --file FILE            feed it this audio file
      --timeout-ms N         for the first frame, 1 to 600000 (default: encoder.startup_timeout_ms)";

const DEVICES: &str = "\
Usage: tower devices [--config FILE] [--set table.key=value]…

Lists the sound cards with the names that stay (the card's id, its USB socket), what each has, and what
the tower would use; then the same of live.device. A card that is in use is not disturbed.
";

const METER: &str = "\
Usage: tower meter [--url URL] [--seconds N] [--config FILE] [--set table.key=value]…
       tower meter --device D [--seconds N] [--config FILE] [--set table.key=value]…

Shows peak and RMS in dBFS, ten times a second, until Ctrl-C: of a running tower its live input and what is on
air, with loudness and alarms; of a card what it captures. Into a file or a pipe goes one line a second.

      --url URL              of the tower (default: the configured port of this machine)
      --device D             open this card instead, written as in live.device (see `tower devices`)
      --seconds N            end after N seconds, 1 to 86400";

const UPDATE: &str = "\
Usage: tower update FILE | URL [--restart]

On the box, as root: checks an update (.raucb) and writes it into the slot that does not run. It has to be signed,
for this board, and newer than what runs. http is downloaded first; https is read by RAUC itself, piece by piece.
It is tried at a restart: when the box has been healthy for a minute it stays, else the old version comes back.

      --restart              restart into it at once
      --card, --data, --run, --cmdline, --os-release, --rauc-conf: as in `tower box --help`
  -h, --help
";

const BOX: &str = "\
Usage: tower box apply
       tower box confirm [--url URL] [--healthy-sec N] [--at-most-sec N]
       tower box restart-into-trial
       tower box slot get-primary | get-current | get-state A|B | set-primary A|B | set-state A|B good|bad

What the services of the box call, as root. `apply` reads the owner's files on the card, checks them, puts them
into place and reports. `confirm` makes a slot that is on trial good when the box has been healthy for a minute;
after ten minutes without that it restarts into the old one. `slot` is RAUC's bootloader backend.

      --url URL              of the tower (default: the configured port of this machine)
      --healthy-sec N        healthy for so long, 0 to 3600 (default: 60)
      --at-most-sec N        within this time, 0 to 3600 (default: 600)
      --card DIR             the card's first partition (default: /boot/owner)
      --data DIR             the data partition (default: /data)
      --run DIR              what lives until the next start (default: /run/retrowaves-box)
      --cmdline FILE         the kernel's command line (default: /proc/cmdline)
      --os-release FILE      says which version this image is (default: /etc/os-release)
      --hostname FILE        takes the host name (default: /proc/sys/kernel/hostname)
      --rauc-conf FILE       RAUC's configuration (default: /etc/rauc/system.conf)
  -h, --help
";

/// What `--help` prints.
pub fn help(topic: Topic) -> String {
    match topic {
        Topic::Tower => TOWER.into(),
        Topic::Run => format!("{RUN}{LAYERS}"),
        Topic::Config => format!("{CONFIG}{LAYERS}"),
        Topic::Status => format!("{STATUS}{LAYERS}"),
        Topic::Probe => format!("{PROBE}{LAYERS}"),
        Topic::Devices => format!("{DEVICES}{LAYERS}"),
        Topic::Meter => format!("{METER}{LAYERS}"),
        Topic::Box => BOX.into(),
        Topic::Update => UPDATE.into(),
    }
}
