//! Whatever is posted as a station event (K3): no panic, a sentence for what is refused, and
//! for what is taken the event unaltered and a title that can break no header, terminal or log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use retrowaves::{control::ingest_events::parse, limits::BODY_BYTES_MAX};

fuzz_target!(|body: &[u8]| {
    // More never gets past the door.
    if body.len() > BODY_BYTES_MAX {
        return;
    }
    match parse(body) {
        Err(why) => assert!(!why.is_empty()),
        Ok(event) => {
            let sent: serde_json::Value = serde_json::from_slice(body).expect("it was taken");
            assert_eq!(sent, serde_json::Value::Object(event.event), "passed on unaltered");
            let playing = event.playing.unwrap_or_default();
            for text in [playing.title, playing.artist].into_iter().flatten() {
                assert!(!text.is_empty() && !text.contains(char::is_control));
            }
        }
    }
});
