//! `hostname.txt`: the name under which the box is found, `http://<name>.local/`.

/// Reads it; none: there is nothing in it.
///
/// # Errors
/// In words: what is wrong, and what would be right.
pub fn parse(text: &str) -> Result<Option<String>, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err("has more than one line; write the name alone".into());
    }
    let line = line.strip_prefix("hostname").map_or(line, |rest| rest.trim_start().strip_prefix('=').unwrap_or(line));
    let name = line.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let name = name.strip_suffix(".local").unwrap_or(&name);
    let wrong: Vec<String> = {
        let odd = |letter: &char| !letter.is_ascii_alphanumeric() && *letter != '-';
        let mut letters: Vec<char> = name.chars().filter(odd).take(5).collect();
        letters.dedup();
        letters.into_iter().map(|letter| format!("{letter:?}")).collect()
    };
    if !wrong.is_empty() {
        return Err(format!("the name has {}; it may have letters a to z, digits and \"-\"", wrong.join(", ")));
    }
    match name.len() {
        0 => Ok(None),
        1..=63 if !name.starts_with('-') && !name.ends_with('-') => Ok(Some(name.to_owned())),
        1..=63 => Err("the name begins or ends with \"-\"".into()),
        length => Err(format!("the name has {length} letters; it may have 63")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w3_names_are_taken_or_refused_in_words() {
        let long = "a".repeat(64);
        let rows = [
            ("radio\n", Ok(Some("radio"))),
            ("\n Studio-2 \n\n", Ok(Some("studio-2"))),
            ("radio.local", Ok(Some("radio"))),
            ("hostname = \"radio\"", Ok(Some("radio"))),
            ("hostname-2", Ok(Some("hostname-2"))),
            ("", Ok(None)),
            ("# none\n", Ok(None)),
            ("my radio", Err("' '")),
            ("my_radio", Err("'_'")),
            ("radio.example.org", Err("'.'")),
            ("rädio", Err("'ä'")),
            ("-radio", Err("begins")),
            (&long, Err("64 letters")),
            ("a\nb", Err("more than one line")),
        ];
        for (text, expected) in rows {
            match (parse(text), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name.as_deref(), expected, "{text:?}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{text:?}: {why}"),
                (got, _) => panic!("{text:?}: {got:?}"),
            }
        }
    }
}
