//! Keys that are equal for the same title or artist, however it is spelled in
//! detail: case, punctuation, a leading "The", who else is featured.
//!
//! FNV-1a, because keys lie in the state file and must be the same in every run
//! and every build.

/// FNV-1a, 64 bits.
#[derive(Debug, Clone, Copy)]
pub struct Fnv(u64);

impl Fnv {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// And these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.update_word(u64::from(byte));
        }
    }

    /// And this word, in one step; another hash than that of its bytes.
    pub fn update_word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    /// The hash.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Default for Fnv {
    fn default() -> Self {
        Self::new()
    }
}

/// Key of an artist. 0: unknown.
pub fn artist_key(artist: Option<&str>) -> u64 {
    let Some(artist) = artist else { return 0 };
    let mut hash = Fnv::new();
    hash.update(plain(artist).as_bytes());
    // 0 has a meaning of its own.
    hash.value().max(1)
}

/// Key of a title by an artist.
pub fn title_key(title: &str, artist: Option<&str>) -> u64 {
    let mut hash = Fnv::new();
    hash.update(plain(title).as_bytes());
    hash.update(&artist_key(artist).to_le_bytes());
    hash.value()
}

/// Only what matters. Never empty unless the text is.
fn plain(text: &str) -> String {
    let lower = text.to_lowercase();
    let main = without_guests(&lower);
    let main = main.strip_prefix("the ").unwrap_or(main);
    let letters: String = main.chars().filter(|c| c.is_alphanumeric()).collect();
    // "???" and "!!!" are names too.
    if letters.is_empty() { lower.trim().to_owned() } else { letters }
}

/// Cut from `feat.`, `ft.` or `featuring` on, where it is a word and not the first.
fn without_guests(lower: &str) -> &str {
    let marks = ["feat. ", "feat ", "ft. ", "ft ", "featuring "];
    let guest = |at: &usize| marks.iter().any(|mark| lower[*at..].starts_with(mark));
    let starts = lower.char_indices().zip(lower.char_indices().skip(1));
    let mut words = starts.filter(|((_, c), _)| matches!(c, ' ' | '(' | '[')).map(|(_, (at, _))| at);
    match words.find(guest) {
        Some(at) if lower[..at].chars().any(char::is_alphanumeric) => &lower[..at],
        _ => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_spelling_does_not_matter() {
        let same = [
            ("The Beatles", "beatles"),
            ("AC/DC", "acdc"),
            ("Song (feat. Somebody)", "song"),
            ("Song ft. Somebody [Remix]", "Song featuring A"),
            ("Don't Stop", "dont stop!"),
            ("ÄRZTE", "ärzte"),
        ];
        for (one, other) in same {
            assert_eq!(plain(one), plain(other), "{one} and {other}");
        }
        let different = [("???", "!!!"), ("Feature", "Feat"), ("Left", "Lef"), ("Theory", "ory")];
        for (one, other) in different {
            assert_ne!(plain(one), plain(other), "{one} and {other}");
        }
    }

    #[test]
    fn st3_keys_are_the_same_in_every_run() {
        assert_eq!(artist_key(None), 0);
        let mut hash = Fnv::new();
        hash.update(b"foobar");
        assert_eq!(hash.value(), 0x8594_4171_f739_67e8, "the published test vector");
        assert_ne!(title_key("Hello", Some("Adele")), title_key("Hello", Some("Lionel Richie")));
        assert_eq!(title_key("Hello", None), title_key("hello!", None));
    }
}
