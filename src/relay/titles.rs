//! Titles for the server, each by a short request of its own (`/admin/metadata`), through `ureq`.
//!
//! A thread of its own: a request that hangs must not hold up the audio. Only the newest title
//! matters, so few wait, and one more is dropped: the next one comes with the next song.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::target::Target;
use crate::{limits::RELAY_TITLES_MAX, sys::thread};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Of a title as it stands in the URL: Icecast takes a request head of 4096 bytes, and hangs up on a longer one.
const ENCODED_BYTES_MAX: usize = 3000;

pub(super) struct Titles {
    inbox: SyncSender<String>,
}

/// Where titles are handed in.
#[derive(Clone)]
pub(super) struct Inbox(SyncSender<String>);

impl Inbox {
    pub(super) fn send(&self, title: String) {
        // One that finds no room is out of date before it could be told.
        let _ = self.0.try_send(title);
    }
}

impl Titles {
    pub(super) fn start(target: Target, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let (inbox, titles) = sync_channel(RELAY_TITLES_MAX);
        thread::spawn("tower:titles", move || run(&target, &titles, &stop))?;
        Ok(Self { inbox })
    }

    pub(super) fn inbox(&self) -> Inbox {
        Inbox(self.inbox.clone())
    }

    /// The thread ends when the last inbox has gone.
    pub(super) fn stop(self) {
        drop(self.inbox);
    }
}

fn run(target: &Target, titles: &Receiver<String>, stop: &AtomicBool) {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    while let Ok(title) = titles.recv() {
        // Of several only the newest is true.
        let title = titles.try_iter().last().unwrap_or(title);
        if stop.load(SeqCst) {
            return;
        }
        if let Err(error) = agent.get(url(target, &title)).header("Authorization", target.authorization()).call() {
            log::warn!("relay to {target}: the title was not taken: {error}");
        }
    }
}

fn url(target: &Target, title: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "http://{}/admin/metadata?mount={}&mode=updinfo&charset=UTF-8&song={}",
        target.authority(),
        encoded(&target.mount),
        encoded(&cut(title))
    )
}

/// As much of a title as the server will take: whole characters.
fn cut(title: &str) -> String {
    let mut left = ENCODED_BYTES_MAX;
    let fits = |c: &char| {
        let bytes = if c.is_ascii_alphanumeric() { 1 } else { 3 * c.len_utf8() };
        left = left.saturating_sub(bytes);
        left > 0
    };
    title.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_a_title_of_any_length_fits_into_a_head_that_icecast_takes() {
        let target = Target::parse("http://source:x@h:8001/live.mp3").expect("a target");
        for (title, least) in [("x".repeat(5000), 2900), ("🎷".repeat(5000), 240), ("\" ".repeat(2500), 900)] {
            let kept = cut(&title);
            assert!(title.starts_with(&kept) && kept.chars().count() >= least, "{} of {title:.9}", kept.len());
            assert!(url(&target, &title).len() < 3200);
        }
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn relay_titles_are_encoded_whatever_they_hold() {
        let target = Target::parse("http://source:x@h:8001/live.mp3").expect("a target");
        assert_eq!(
            url(&target, "A&B = \"ü\"?#\r\n"),
            "http://h:8001/admin/metadata?mount=%2Flive%2Emp3&mode=updinfo&charset=UTF-8\
             &song=A%26B%20%3D%20%22%C3%BC%22%3F%23%0D%0A"
        );
    }
}
