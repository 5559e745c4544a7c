//! Passwords within addresses (`http://source:PASSWORD@host/mount`) of the settings: off the card, and back in.
//!
//! On the card `***` stands in a password's place from then on; the box keeps the addresses as they were, but for those
//! in comments, which nobody needs and which might be older ones. Pure.

use std::ops::Range;

/// Stands on the card where a password was.
pub const PLACEHOLDER: &str = "***";

/// A text with its passwords, and what the card is to hold in its stead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The settings as the programs get them.
    pub full: String,
    /// The same with placeholders; none: the card holds that already.
    pub on_card: Option<String>,
    /// Addresses with their passwords, for the box to keep.
    pub kept: Vec<String>,
}

/// Puts in what `kept` has of earlier, and takes out what is new.
///
/// # Errors
/// The address whose password is neither there nor kept.
pub fn exchange(text: &str, kept: &[String]) -> Result<Moved, String> {
    let mut moved = Moved { full: String::new(), on_card: None, kept: Vec::new() };
    let mut on_card = String::new();
    let mut at = 0;
    while let Some(place) = next(text, at) {
        let address = &text[place.address.clone()];
        let hidden = hide(text, &place);
        let is_comment = in_comment(&text[..place.address.start]);
        let full = if is_comment {
            hidden.clone()
        } else if &text[place.password.clone()] == PLACEHOLDER {
            let of_earlier = kept.iter().find(|known| masked(known).as_deref() == Some(address));
            of_earlier.cloned().ok_or_else(|| address.to_owned())?
        } else {
            address.to_owned()
        };
        for (to, instead) in [(&mut moved.full, &full), (&mut on_card, &hidden)] {
            to.push_str(&text[at..place.address.start]);
            to.push_str(instead);
        }
        if !is_comment && !moved.kept.contains(&full) {
            moved.kept.push(full);
        }
        at = place.address.end;
    }
    moved.full.push_str(&text[at..]);
    on_card.push_str(&text[at..]);
    moved.on_card = (on_card != text).then_some(on_card);
    Ok(moved)
}

/// A `#` outside of quotes stands before, in the same line.
fn in_comment(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let mut quote = None;
    line.chars().any(|c| {
        quote = match quote {
            None if matches!(c, '"' | '\'') => Some(c),
            Some(open) if open == c => None,
            other => other,
        };
        quote.is_none() && c == '#'
    })
}

struct Place {
    address: Range<usize>,
    password: Range<usize>,
}

/// The next address with a password, from byte `from` on.
fn next(text: &str, from: usize) -> Option<Place> {
    let mut at = from;
    loop {
        let login = at + text[at..].find("://")? + 3;
        let begin = text[..login - 3].rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        let begin = begin.map_or(0, |byte| byte + text[byte..].chars().next().map_or(1, char::len_utf8)).max(from);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let end = text[login..].find(ends).map_or(text.len(), |length| login + length);
        let authority = text[login..end].find('/').map_or(end, |length| login + length);
        let place = text[login..authority].rfind('@').and_then(|sign| {
            let colon = text[login..login + sign].find(':')?;
            Some(login + colon + 1..login + sign).filter(|password| !password.is_empty())
        });
        if let Some(password) = place {
            return Some(Place { address: begin..end, password });
        }
        at = login;
    }
}

fn hide(text: &str, place: &Place) -> String {
    let before = &text[place.address.start..place.password.start];
    format!("{before}{PLACEHOLDER}{}", &text[place.password.end..place.address.end])
}

fn masked(address: &str) -> Option<String> {
    next(address, 0).map(|place| hide(address, &place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn w3_passwords_of_addresses_as_a_table() {
        let rows: [(&str, &str, &[&str]); 6] = [
            (
                "url = \"http://s:pass@host:8000/m\"\n",
                "url = \"http://s:***@host:8000/m\"\n",
                &["http://s:pass@host:8000/m"],
            ),
            ("a = 'http://a:b@c:d@h'\nx = 1", "a = 'http://a:***@h'\nx = 1", &["http://a:b@c:d@h"]),
            (
                "a = \"http://u:p@h/#1\" # http://u:q@h/#1",
                "a = \"http://u:***@h/#1\" # http://u:***@h/#1",
                &["http://u:p@h/#1"],
            ),
            (
                "a = \"http://u:p@h\"\nb = \"http://u:p@h\"",
                "a = \"http://u:***@h\"\nb = \"http://u:***@h\"",
                &["http://u:p@h"],
            ),
            ("#http://u:old@h\n", "#http://u:***@h\n", &[]),
            ("ä://u:p@h", "ä://u:***@h", &["://u:p@h"]),
        ];
        for (text, on_card, kept) in rows {
            let moved = exchange(text, &[]).expect(text);
            assert_eq!(
                (moved.on_card.as_deref(), &moved.kept[..]),
                (Some(on_card), &kept.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
            assert_eq!(exchange(on_card, &moved.kept).expect(text).on_card, None, "{text}");
        }
        for text in ["", "://", "http://host:8000/a@b", "http://user@host/", "http://u:@h/", "a:b@c", "http://h/u:p@x"]
        {
            let moved = exchange(text, &[]).expect(text);
            assert_eq!((moved.full.as_str(), moved.on_card, moved.kept), (text, None, vec![]), "{text}");
        }
    }

    #[test]
    fn w3_the_password_comes_back_for_its_own_address_only() {
        let first = exchange("url = \"http://source:pass@host/m\"", &[]).expect("new");
        let card = first.on_card.expect("hidden");
        let again = exchange(&card, &first.kept).expect("kept");
        assert_eq!((again.full.as_str(), again.on_card), (first.full.as_str(), None));
        assert_eq!(again.kept, first.kept);
        // Never to another host: whoever writes on the card must not get it sent to a machine of theirs.
        let elsewhere = card.replace("host", "evil");
        assert_eq!(exchange(&elsewhere, &first.kept), Err("http://source:***@evil/m".to_owned()));
        assert_eq!(exchange(&card, &[]), Err("http://source:***@host/m".to_owned()));
    }

    proptest! {
        #[test]
        fn w3_any_text_comes_back_as_it_was(pieces in prop::collection::vec(
            prop::sample::select(vec!["http", "://", ":", "@", "/", "\"", " ", "\n", "ä", "***", "x", "#"]), 0..30)
        ) {
            let text = pieces.concat();
            if let Ok(moved) = exchange(&text, &[]) {
                if !text.contains('#') {
                    prop_assert_eq!(&moved.full, &text);
                }
                let card = moved.on_card.unwrap_or(text);
                let again = exchange(&card, &moved.kept).map(|again| (again.full, again.on_card));
                prop_assert_eq!(again, Ok((moved.full, None)));
            }
        }
    }
}
