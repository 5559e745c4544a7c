//! What shall be done with the owner's files, and what is to be said about them.
//!
//! Pure: bytes in, plan and findings out. A mistake in one file never touches another.

use super::{
    folder::{Folder, Found, NAMES},
    hostname, secrets, ssh_keys, text, wifi,
};
use crate::appliance::report::{Finding, Kind};

/// How far a reset goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Settings, Wi-Fi, keys, and what the station remembers.
    Settings,
    /// The music too.
    Everything,
}

/// What Wi-Fi needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WifiPlan {
    /// The network's files, with and without a password, as iwd names them.
    pub file_names: [String; 2],
    /// The one to be written and its content; none: what was kept stays.
    pub write: Option<(String, String)>,
    /// `wifi.txt` without its password; none: it has none.
    pub rewritten: Option<String>,
    /// For the channels that are allowed.
    pub country: Option<String>,
}

/// Passwords within `tower.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretsPlan {
    /// Addresses with their passwords.
    pub keep: Vec<String>,
    /// `tower.toml` without them; none: it has none.
    pub rewritten: Option<String>,
}

/// What SSH needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshPlan {
    /// Keys that may log in.
    pub lines: Vec<String>,
    /// The file as it was, to be moved off the card, and what stays there instead.
    pub moved: Option<(Vec<u8>, String)>,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Before all else, and then nothing else.
    pub reset: Option<Reset>,
    /// Settings of the tower that passed the check; none: the default.
    pub tower: Option<String>,
    /// Its passwords; none: what was kept stays.
    pub secrets: Option<SecretsPlan>,
    /// The same of the station.
    pub station: Option<String>,
    /// None: the image's own.
    pub hostname: Option<String>,
    /// None: what was kept stays.
    pub wifi: Option<WifiPlan>,
    /// None: the file cannot be read, and what was kept stays.
    pub ssh: Option<SshPlan>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// What the plan has to know of the box.
pub struct Knows<'a> {
    /// `tower config --check`: what is wrong, a line each.
    pub check_tower: &'a dyn Fn(&str) -> Result<(), String>,
    /// `station config --check`.
    pub check_station: &'a dyn Fn(&str) -> Result<(), String>,
    /// A network of that file name is kept.
    pub is_kept: &'a dyn Fn(&str) -> bool,
    /// Addresses with passwords that are kept.
    pub secrets: &'a [String],
}

/// Says what to do with `folder`.
pub fn plan(folder: &Folder, knows: &Knows<'_>) -> Plan {
    let mut plan = Plan::default();
    let [tower, station, wifi, hostname, keys, reset] = &folder.files;
    plan.reset = plan.reset_asked(reset);
    if plan.reset.is_some() {
        return plan;
    }
    plan.tower_settings(tower, knows);
    plan.station = plan.settings(NAMES[1], station, |text| (knows.check_station)(text).map(|()| "used"));
    plan.wifi = plan.network(wifi, knows.is_kept);
    plan.hostname = plan.name(hostname);
    plan.ssh = plan.keys(keys);
    for name in &folder.others {
        plan.findings.extend(misnamed(name, &folder.real_names));
    }
    plan
}

impl Plan {
    fn say(&mut self, file: &str, kind: Kind, what: impl Into<String>) {
        self.findings.push(Finding::about(file, kind, what));
    }

    /// The file's text; none: it is not there, or is said to be wrong.
    fn text(&mut self, file: &str, found: &Found, otherwise: &str) -> Option<String> {
        let why = match found {
            Found::Absent => return None,
            Found::Unusable(why) => why.clone(),
            Found::Bytes(bytes) => match text::read(bytes) {
                Ok(read) => {
                    for note in read.notes {
                        self.say(file, Kind::Note, note);
                    }
                    return Some(read.text);
                }
                Err(why) => why,
            },
        };
        self.say(file, Kind::Mistake, format!("{why}. {otherwise}"));
        None
    }

    fn reset_asked(&mut self, found: &Found) -> Option<Reset> {
        const FILE: &str = "RESET";
        let text = self.text(FILE, found, "Nothing was erased.")?;
        match text.trim().trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
            "" => {
                self.say(
                    FILE,
                    Kind::Note,
                    "settings, Wi-Fi, keys and the station's memory were erased; the music was kept",
                );
                Some(Reset::Settings)
            }
            "everything" => {
                self.say(FILE, Kind::Note, "everything was erased, the music too");
                Some(Reset::Everything)
            }
            _ => {
                let what = "has to be empty, or to hold the word: everything. Nothing was erased.";
                self.say(FILE, Kind::Mistake, what);
                None
            }
        }
    }

    /// Checked with the passwords that the box keeps, which are what the tower gets.
    fn tower_settings(&mut self, found: &Found, knows: &Knows<'_>) {
        let mut moved = None;
        self.tower = self.settings(NAMES[0], found, |text| {
            let exchanged = secrets::exchange(text, knows.secrets).map_err(|address| {
                format!("{address}: the box has kept no password for this address; write it in place of the ***")
            })?;
            (knows.check_tower)(&exchanged.full)?;
            let words = match exchanged.on_card {
                Some(_) => "used; the password in it was moved into the box, and *** stands in its place",
                None => "used",
            };
            moved = Some(exchanged);
            Ok(words)
        });
        if let Some(moved) = moved {
            self.tower = Some(moved.full);
            self.secrets = Some(SecretsPlan { keep: moved.kept, rewritten: moved.on_card });
        }
    }

    fn settings(
        &mut self,
        file: &str,
        found: &Found,
        check: impl FnOnce(&str) -> Result<&'static str, String>,
    ) -> Option<String> {
        const OTHERWISE: &str = "The settings of the image are used instead.";
        let text = self.text(file, found, OTHERWISE)?;
        if text.trim().is_empty() {
            self.say(file, Kind::Note, "is empty: the settings of the image are used");
            return None;
        }
        match check(&text) {
            Ok(words) => {
                self.say(file, Kind::Done, words);
                Some(text)
            }
            Err(why) => {
                let curly = text.contains(['“', '”', '„', '’', '‘']);
                let hint = if curly { "\nThere are curly quotes in it; TOML has straight ones: \"" } else { "" };
                let own_line = format!("{file}:");
                let lines: Vec<String> = why
                    .lines()
                    .map(|line| {
                        line.strip_prefix(&own_line).map_or_else(|| line.to_owned(), |rest| format!("line {rest}"))
                    })
                    .collect();
                self.say(file, Kind::Mistake, format!("{}{hint}\n{OTHERWISE}", lines.join("\n")));
                None
            }
        }
    }

    fn network(&mut self, found: &Found, is_kept: &dyn Fn(&str) -> bool) -> Option<WifiPlan> {
        const FILE: &str = "wifi.txt";
        let text = self.text(FILE, found, "What the box knew of Wi-Fi before stays.")?;
        let wifi = match wifi::parse(&text) {
            Ok(wifi) => wifi,
            Err(mistakes) => {
                let what = format!("{}\nWhat the box knew of Wi-Fi before stays.", mistakes.join("\n"));
                self.say(FILE, Kind::Mistake, what);
                return None;
            }
        };
        let file_names = wifi::file_names(&wifi.ssid);
        let [psk, open] = file_names.clone();
        let ssid = crate::cli::plain(&wifi.ssid);
        let write = match (&wifi.access, wifi::file_content(&wifi.access)) {
            (wifi::Access::Open, Some(content)) => Some((open, content)),
            (_, Some(content)) => Some((psk, content)),
            (_, None) if file_names.iter().any(|name| is_kept(name)) => None,
            (_, None) => {
                let what = format!(
                    "has no password for {ssid:?}, and the box has kept none; write password=WORD, or open=yes for a \
                     network without one.\nWhat the box knew of Wi-Fi before stays."
                );
                self.say(FILE, Kind::Mistake, what);
                return None;
            }
        };
        let rewritten = write.as_ref().and_then(|_| wifi::without_password(&text));
        let kept =
            if rewritten.is_some() { "; its password was moved into the box and taken out of this file" } else { "" };
        self.say(FILE, Kind::Done, format!("network {ssid:?}{kept}"));
        Some(WifiPlan { file_names, write, rewritten, country: wifi.country })
    }

    fn name(&mut self, found: &Found) -> Option<String> {
        const FILE: &str = "hostname.txt";
        const OTHERWISE: &str = "The box keeps the name of the image.";
        let text = self.text(FILE, found, OTHERWISE)?;
        match hostname::parse(&text) {
            Ok(Some(name)) => {
                self.say(FILE, Kind::Done, format!("the box is http://{name}.local/"));
                Some(name)
            }
            Ok(None) => {
                self.say(FILE, Kind::Note, "is empty: the box keeps the name of the image");
                None
            }
            Err(why) => {
                self.say(FILE, Kind::Mistake, format!("{why}. {OTHERWISE}"));
                None
            }
        }
    }

    fn keys(&mut self, found: &Found) -> Option<SshPlan> {
        const FILE: &str = "authorized_keys";
        let Found::Bytes(bytes) = found else {
            self.text(FILE, found, "Who could log in before still can.");
            return (*found == Found::Absent).then(SshPlan::default);
        };
        let text = self.text(FILE, found, "Who could log in before still can.")?;
        let keys = ssh_keys::parse(&text);
        for mistake in &keys.mistakes {
            self.say(FILE, Kind::Mistake, mistake);
        }
        match keys.lines.len() {
            0 if keys.mistakes.is_empty() => self.say(FILE, Kind::Note, "is empty: nobody can log in"),
            0 => {}
            1 => self.say(FILE, Kind::Done, "one key can log in"),
            count => self.say(FILE, Kind::Done, format!("{count} keys can log in")),
        }
        let left = || keys.lines.iter().fold(WITHOUT_PRIVATE_KEY.to_owned(), |all, line| all + line + "\r\n");
        let moved = keys.private.then(|| (bytes.clone(), left()));
        Some(SshPlan { lines: keys.lines, moved })
    }
}

/// Stays there, so that it is still read when the report has nothing more to say about it.
const WITHOUT_PRIVATE_KEY: &str = "# A PRIVATE key was in this file. It was moved into the box (ssh/private-key-of-the-owner on the data \
    partition).\r\n# Whoever had this card may have copied it: make a new pair of keys.\r\n# What belongs here is the public key, \
    from the file that ends in .pub.\r\n";

/// What a file was meant to be, when its name is near one of ours.
fn misnamed(name: &str, found: &[Option<String>; NAMES.len()]) -> Option<Finding> {
    const ENDINGS: [&str; 9] = [".txt", ".toml", ".rtf", ".doc", ".docx", ".conf", ".cfg", ".pub", ".ini"];
    let mut stem = name.to_ascii_lowercase();
    if stem.starts_with('.') || stem == "report.txt" {
        return None;
    }
    let ending = |stem: &str| ENDINGS.into_iter().find_map(|ending| stem.strip_suffix(ending).map(str::to_owned));
    while let Some(shorter) = ending(&stem) {
        stem = shorter;
    }
    let letters: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
    let which = match letters.as_str() {
        "tower" => 0,
        "station" => 1,
        "wifi" | "wlan" | "wpasupplicant" => 2,
        "hostname" | "host" => 3,
        "authorizedkeys" | "authorizedkey" | "authorisedkeys" | "ided25519" | "idrsa" | "idecdsa" => 4,
        "reset" => 5,
        _ => return None,
    };
    let right = NAMES[which];
    let twice =
        if found[which].is_some() { format!(" (there is a {right}, too, which was read)") } else { String::new() };
    let hidden =
        if name.to_ascii_lowercase().ends_with(".txt") && !right.ends_with(".txt") || name.ends_with(".txt.txt") {
            "; Windows hides the end of names: in the Explorer, View, Show, File name extensions"
        } else {
            ""
        };
    let what = format!("is not read; its name has to be {right}{twice}{hidden}");
    Some(Finding::about(name, Kind::Mistake, what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::appliance::report::Report;

    const KNOWS: Knows<'static> = Knows {
        check_tower: &|text| if text.contains('=') { Ok(()) } else { Err(format!("tower.toml:1: {text}")) },
        check_station: &|_| Err("line of an error\n".repeat(1000)),
        is_kept: &|_| false,
        secrets: &[],
    };

    fn bytes() -> impl Strategy<Value = Found> {
        let pieces = prop::sample::select(vec![
            "ssid",
            "password",
            "=",
            "\n",
            "\r\n",
            "\"",
            "'",
            "a",
            " ",
            "\\",
            "ssh-ed25519",
            "AAAA",
            "-----BEGIN",
            "PRIVATE KEY",
            "everything",
            "\u{feff}",
            "“",
            "ä",
            "\0",
            "command=",
            ".local",
            "-",
        ]);
        let text = prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes());
        let marked =
            (prop::sample::select(vec![vec![0xff, 0xfe], vec![0xfe, 0xff], vec![0xef, 0xbb, 0xbf]]), text.clone());
        let marked = marked.prop_map(|(mark, text)| [mark, text].concat());
        prop_oneof![text, marked, prop::collection::vec(any::<u8>(), 0..300)].prop_map(Found::Bytes)
    }

    proptest! {
        #[test]
        fn w3_no_files_of_anybody_stop_the_plan_and_what_is_said_is_bounded(
            files in prop::array::uniform6(bytes()),
            others in prop::collection::vec("[a-zA-Z_.äß]{0,20}", 0..20),
        ) {
            let folder = Folder { files, others, ..Folder::default() };
            let plan = plan(&folder, &KNOWS);
            prop_assert_eq!(plan.station, None);
            if let Some(wifi) = &plan.wifi {
                let clean = |name: &String| !name.contains('/') && name.len() <= 70;
                prop_assert!(wifi.file_names.iter().all(clean), "{:?}", wifi.file_names);
            }
            let report = Report { version: String::new(), slot: None, on_trial: false, findings: plan.findings };
            prop_assert!(report.words().len() < 60_000);
            prop_assert!(!report.words().replace("\r\n", "").contains('\n'));
        }
    }
}
