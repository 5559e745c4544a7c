//! `wifi.txt`: the name and the password of the network, and what iwd is to be told.
//!
//! Nothing that is said about the file has a word of the password in it.

use std::fmt::Write;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// The network.
    pub ssid: String,
    /// How to get in.
    pub access: Access,
    /// ISO 3166, for the channels that are allowed there.
    pub country: Option<String>,
}

/// How to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// No line about it: what the box has kept.
    AsKept,
    /// 8 to 63 characters.
    Password(String),
    /// 64 hexadecimal digits: the key that is made of a password.
    Key(String),
    /// A network without a password.
    Open,
}

/// What is wrong with it, each in words.
pub type Mistakes = Vec<String>;

const KEYS: [&str; 4] = ["ssid", "password", "country", "open"];
/// Other words for the same, as other systems have them.
const OTHER_WORDS: [(&str, &str); 7] = [
    ("name", "ssid"),
    ("network", "ssid"),
    ("psk", "password"),
    ("passphrase", "password"),
    ("key", "password"),
    ("pass", "password"),
    ("regdomain", "country"),
];

/// Reads it.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(text: &str) -> Result<Wifi, Mistakes> {
    let mut mistakes = Vec::new();
    let mut values: [Option<String>; KEYS.len()] = Default::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !is_empty(line)) {
        match key_and_value(line) {
            None => mistakes.push(format!("line {} has no \"=\"; write ssid=NAME and password=WORD", at + 1)),
            Some((key, value)) => match KEYS.iter().position(|known| *known == key) {
                None => mistakes.push(format!("line {}: {}", at + 1, unknown(&key))),
                Some(which) if values[which].is_some() => {
                    mistakes.push(format!("line {}: {key} is there twice; leave one", at + 1));
                }
                Some(which) => values[which] = Some(value.to_owned()),
            },
        }
    }
    let [ssid, password, country, open] = values;
    let ssid = ssid.unwrap_or_default();
    match ssid.len() {
        0 => mistakes.push("names no network; write ssid=NAME".to_owned()),
        1..=32 => {}
        length => mistakes.push(format!("ssid has {length} bytes; the name of a network has at most 32")),
    }
    let access = access(password.as_deref().filter(|word| !word.is_empty()), open.as_deref(), &mut mistakes);
    let country = country.filter(|code| !code.is_empty()).map(|code| code.to_ascii_uppercase());
    if country.as_ref().is_some_and(|code| code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        mistakes.push("country is not two letters, such as DE, GB or US".to_owned());
    }
    if mistakes.is_empty() { Ok(Wifi { ssid, access, country }) } else { Err(mistakes) }
}

fn access(password: Option<&str>, open: Option<&str>, mistakes: &mut Mistakes) -> Access {
    let is_open = open.is_some_and(|word| matches!(word.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on"));
    match password {
        Some(_) if is_open => mistakes.push("has a password and open=yes; leave one".to_owned()),
        None if is_open => return Access::Open,
        None => return Access::AsKept,
        Some(word) => match word.chars().count() {
            64 if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Access::Key(word.to_ascii_lowercase()),
            8..=63 if word.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) => return Access::Password(word.into()),
            8..=63 => mistakes.push("password has letters beyond ASCII, which WPA does not have".to_owned()),
            count => mistakes.push(format!("password has {count} characters; a password of WPA has 8 to 63")),
        },
    }
    Access::AsKept
}

fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';', '['])
}

/// `key = value`, with or without spaces and quotes; the key in small letters.
fn key_and_value(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    Some((key, unquoted(value.trim())))
}

/// Quotes keep spaces at the ends of a name; curly ones come from word processors.
fn unquoted(value: &str) -> &str {
    let pairs = [('"', '"'), ('\'', '\''), ('“', '”'), ('„', '“'), ('‘', '’'), ('”', '”')];
    let inner = |(open, close)| value.strip_prefix(open)?.strip_suffix(close);
    pairs.into_iter().find_map(inner).unwrap_or(value)
}

fn unknown(key: &str) -> String {
    let meant = OTHER_WORDS.iter().find(|(other, _)| *other == key).map(|(_, meant)| *meant);
    let meant = meant.or_else(|| KEYS.into_iter().find(|known| key.starts_with(&known[..2])));
    let key: String = key.chars().filter(|letter| letter.is_ascii_alphanumeric()).take(20).collect();
    match meant {
        Some(meant) => format!("{key:?} is not known; write {meant}=…"),
        None => format!("{key:?} is not known; there are ssid, password, country and open"),
    }
}

/// The file without its password, and with a line that says where it is. None: there is nothing to take out.
pub fn without_password(text: &str) -> Option<String> {
    const MOVED: &str =
        "# The password was moved into the box and is kept there. For another one, write here: password=NEW";
    let is_password = |line: &&str| {
        let line = line.trim().trim_start_matches(['#', ';']);
        line != MOVED.trim_start_matches('#') && key_and_value(line).is_some_and(|(key, _)| key == "password")
    };
    if !text.lines().any(|line| is_password(&line)) {
        return None;
    }
    let kept = text.lines().filter(|line| !is_password(line) && *line != MOVED);
    let lines: Vec<&str> = [MOVED].into_iter().chain(kept).collect();
    Some(lines.join("\r\n") + "\r\n")
}

/// The names under which iwd looks for the network: with a password, and without.
/// Letters beyond its few are written in hexadecimal.
pub fn file_names(ssid: &str) -> [String; 2] {
    let plain = ssid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b' '));
    let stem = if plain {
        ssid.to_owned()
    } else {
        ssid.bytes().fold("=".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes it
            hex
        })
    };
    [format!("{stem}.psk"), format!("{stem}.open")]
}

/// What stands in that file. None: what was kept stays.
pub fn file_content(access: &Access) -> Option<String> {
    match access {
        Access::AsKept => None,
        Access::Open => Some(String::new()),
        Access::Password(word) => Some(format!("[Security]\nPassphrase={}\n", escaped(word))),
        Access::Key(key) => Some(format!("[Security]\nPreSharedKey={key}\n")),
    }
}

/// As iwd's settings have it: a backslash is doubled, a space at an end is `\s`.
fn escaped(word: &str) -> String {
    let (last, mut out) = (word.len() - 1, String::new());
    for (at, letter) in word.char_indices() {
        match letter {
            '\\' => out.push_str("\\\\"),
            ' ' if at == 0 || at == last => out.push_str("\\s"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w3_what_people_write_is_understood() {
        let rows = [
            ("ssid=Home\npassword=12345678\ncountry=de\n", "Home", "12345678", Some("DE")),
            ("SSID = \"My Net \"\nPassword = 'a b c d e'", "My Net ", "a b c d e", None),
            ("[wifi]\nssid=“Café”\npassword=a=b=c=d=e\n", "Café", "a=b=c=d=e", None),
        ];
        for (text, ssid, password, country) in rows {
            let wifi = parse(text).expect(text);
            assert_eq!(wifi.ssid, ssid);
            assert_eq!(wifi.access, Access::Password(password.into()), "{text:?}");
            assert_eq!(wifi.country.as_deref(), country);
        }
        assert_eq!(parse("ssid=a").expect("kept").access, Access::AsKept);
        assert_eq!(parse("ssid=a\npassword=\n").expect("kept").access, Access::AsKept);
        assert_eq!(parse("ssid=a\nopen=yes").expect("open").access, Access::Open);
        let key = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789"; // 64 digits
        assert_eq!(parse(&format!("ssid=a\npassword={key}")).expect("key").access, Access::Key(key.to_lowercase()));
    }

    #[test]
    fn w3_what_is_wrong_is_said_without_a_word_of_the_password() {
        let (long, almost_key) = ("verysecret".repeat(7), "verysecret".repeat(7)[..64].to_owned());
        let rows = [
            ("", "names no network"),
            ("password=verysecret\n", "names no network"),
            ("ssid=a\npassword=verysec", "has 7 characters"),
            (&format!("ssid=a\npassword={long}"), "has 70 characters"),
            (&format!("ssid=a\npassword={almost_key}"), "has 64 characters"),
            ("ssid=a\npassword=verysecretä", "beyond ASCII"),
            ("ssid=a\npasswort=verysecret", "write password=…"),
            ("ssid=a\npsk=verysecret", "write password=…"),
            ("ssid=a\nhidden=verysecret", "there are ssid"),
            ("ssid=a\nverysecret\n", "line 2 has no \"=\""),
            ("ssid=a\nssid=b\n", "twice"),
            ("ssid=a\ncountry=Germany", "two letters"),
            ("ssid=a\nopen=yes\npassword=verysecret", "leave one"),
            (&format!("ssid={}", "ü".repeat(17)), "34 bytes"),
        ];
        for (text, why) in rows {
            let mistakes = parse(text).expect_err(text).join("; ");
            assert!(mistakes.contains(why), "{text:?}: {mistakes}");
            assert!(!mistakes.contains("verysec"), "{mistakes}");
        }
    }

    #[test]
    fn w3_the_password_leaves_the_file_and_comes_back_by_a_new_line() {
        let text = "# note\nssid=a\n#password=older\npassword=verysecret\ncountry=DE\n";
        let moved = without_password(text).expect("moved");
        assert!(!moved.contains("verysecret") && !moved.contains("older"), "{moved}");
        assert!(
            moved.contains("moved into the box") && moved.contains("# note\r\nssid=a\r\ncountry=DE\r\n"),
            "{moved}"
        );
        let plain = moved.replace("\r\n", "\n");
        assert_eq!(without_password(&plain), None, "there is nothing more to take out");
        assert_eq!(parse(&plain).expect("good").access, Access::AsKept);
        let again = without_password(&format!("{plain}password=othersecret\n")).expect("moved");
        assert_eq!(again, moved);
    }

    #[test]
    fn w3_iwd_finds_the_network_by_its_name() {
        assert_eq!(file_names("My Net-1_x"), ["My Net-1_x.psk", "My Net-1_x.open"]);
        assert_eq!(file_names("Café/.."), ["=436166c3a92f2e2e.psk", "=436166c3a92f2e2e.open"]);
        let content = file_content(&Access::Password(" a\\b c ".into()));
        assert_eq!(content.as_deref(), Some("[Security]\nPassphrase=\\sa\\\\b c\\s\n"));
        assert_eq!(file_content(&Access::Open).as_deref(), Some(""));
    }
}
