//! The help texts.

use super::args::Topic;

const STATION: &str = "\
station: a radio station's player. It chooses music from folders and sends it to the tower.

Usage: station run --music DIR  start it
       station now              what is played, what comes next
       station skip             go on to what comes next
       station next FILE        play this file next
       station history          what was played
       station scan             look for new and removed files now
       station config           every setting and where it came from
       station --version

`station COMMAND --help` says more.
Exit codes: 0 done, 1 the machine refused or no station answers, 2 wrong arguments or configuration.
";

const LAYERS: &str = "
      --config FILE          settings (default: /etc/retrowaves/station.toml, if it is there)
      --set table.key=value  one setting; may be given many times
  -h, --help
  -V, --version

Defaults < vendor's file (/usr/lib/retrowaves) < file < environment (STATION_*, TOWER_SOCKET_PATH, TOWER_URL) < --set. `station config` shows the result.
";

const RUN: &str = "\
Usage: station run [--music DIR]… [--config FILE] [--set table.key=value]…

Starts the station and stays in the foreground. SIGTERM and SIGINT play the sign-off and stop it, SIGHUP opens the log again.

      --music DIR            a folder of music; may be given many times, and replaces music.folders";

const SCAN: &str = "\
Usage: station scan [--music DIR]… [--config FILE] [--set table.key=value]…

Asks the station that runs to look through its folders now. Where none runs, or with --music, looks through them itself and says
what it found.

      --music DIR            a folder of music; may be given many times, and replaces music.folders";

const NOW: &str = "\
Usage: station now [--json] [--config FILE] [--set table.key=value]…

Says what is played, why, what comes next, and how library and tower are.

      --json                 as the station says it, one line";

const SKIP: &str = "\
Usage: station skip [--config FILE] [--set table.key=value]…

Ends what is played and goes on to what comes next.
";

const NEXT: &str = "\
Usage: station next FILE [--config FILE] [--set table.key=value]…

Plays FILE, anything FFmpeg reads, after what is played now.
";

const HISTORY: &str = "\
Usage: station history [--count N] [--json] [--config FILE] [--set table.key=value]…

Says what was played, the newest first.

      --count N              entries at most, 1 to 1000 (default: 20)
      --json                 as the station says it, one line";

const CONFIG: &str = "\
Usage: station config [--music DIR]… [--config FILE] [--set table.key=value]…
       station config --check FILE

Prints every setting, where it came from, and where things lie. Changes nothing.

      --check FILE           check this file by itself: says ok, or all that is wrong (exit code 2)";

/// What `--help` prints.
pub fn help(topic: Topic) -> String {
    let text = match topic {
        Topic::Station => return STATION.into(),
        Topic::Run => RUN,
        Topic::Scan => SCAN,
        Topic::Now => NOW,
        Topic::Skip => SKIP,
        Topic::Next => NEXT,
        Topic::History => HISTORY,
        Topic::Config => CONFIG,
    };
    format!("{text}{LAYERS}")
}
