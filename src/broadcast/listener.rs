//! When a listener is slow: the rule, and nothing but the rule.
//!
//! A full socket says little: a kernel hides a minute of audio before `send`
//! refuses anything, and a lost packet alone can hold it up for 200 ms. So a
//! listener is judged by what it has *acknowledged*: it may owe acknowledgement
//! for `backlog_sec` of audio, and only beyond that, and only when not one more byte
//! is acknowledged for `client_timeout_ms`, is it slow.
//!
//! Pure: bytes and `now` in, an act out. Sending belongs to `connections`.
//!
//! ```text
//!            lag < bound                 lag ≥ bound
//!   Within ◄──────────── Over{since} ◄──────────────── Within
//!                          │    ▲ a byte was acknowledged: since = now
//!                          ▼
//!            client_timeout_ms since `since`, or overtaken by the ring: Slow
//! ```

/// What the rule works with; the same for every listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Audio that may be unacknowledged, in bytes, besides the burst.
    pub bytes: u64,
    /// Beyond the bound, how long not one byte may be acknowledged.
    pub timeout_ns: u64,
    /// How long one byte of audio lasts, times 2^10 (a byte is no whole number of nanoseconds).
    pub byte_ns_times_1024: u64,
}

/// What is seen of a listener when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Bytes on air that the kernel was not yet given.
    pub unsent: u64,
    /// Audio bytes that the kernel was given, in all.
    pub sent: u64,
    /// Of these, bytes that the peer has not acknowledged.
    pub unacknowledged: u64,
    /// Bytes that it was given at its start besides what is on air.
    pub burst: u64,
    /// The ring is about to drop bytes that were not sent.
    pub overtaken: bool,
}

/// What to do with a listener in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Give the kernel at most this many bytes more.
    Send(u64),
    /// At its bound: nothing for now.
    Wait,
    /// Too slow: drop it, or move it to live.
    Slow,
}

/// How a listener is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Bytes acknowledged when last seen.
    acknowledged: u64,
    /// At the bound, without an acknowledgement, since then.
    over_since_ns: Option<u64>,
}

impl Pace {
    /// One look at a listener.
    pub fn step(&mut self, seen: Seen, bound: Bound, now_ns: u64) -> Act {
        let acknowledged = seen.sent.saturating_sub(seen.unacknowledged);
        let progressed = acknowledged > self.acknowledged;
        self.acknowledged = acknowledged;
        if seen.overtaken {
            return Act::Slow;
        }
        let lag = seen.unsent + seen.unacknowledged;
        let bound_bytes = bound.bytes + seen.burst.saturating_sub(acknowledged);
        if lag < bound_bytes {
            self.over_since_ns = None;
        } else if progressed {
            self.over_since_ns = Some(now_ns);
        } else {
            // Nothing is acknowledged, so the lag grows as fast as time: that tells
            // when the bound was reached, though nobody looked just then.
            let over_ns = (lag - bound_bytes).saturating_mul(bound.byte_ns_times_1024) >> 10;
            let since = *self.over_since_ns.get_or_insert(now_ns.saturating_sub(over_ns));
            if now_ns.saturating_sub(since) >= bound.timeout_ns {
                return Act::Slow;
            }
        }
        match bound_bytes.saturating_sub(seen.unacknowledged) {
            0 => Act::Wait,
            room => Act::Send(room.min(seen.unsent)),
        }
    }

    /// The listener was moved to live: the clock of its slowness starts anew.
    pub fn moved_to_live(&mut self, now_ns: u64) {
        self.over_since_ns = Some(now_ns);
    }
}

/// The bound of the next batch: it shrinks by an eighth for all while the kernel
/// holds more than `total_max` for all listeners together, and grows back once a
/// quarter of that is free. Never below `min`, never above `full`.
pub fn next_bound(bytes: u64, total: u64, total_max: u64, min: u64, full: u64) -> u64 {
    if total > total_max {
        (bytes - bytes / 8).max(min)
    } else if total < total_max / 4 * 3 {
        (bytes + bytes / 8).min(full)
    } else {
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 bytes a millisecond, as at 128 kbit/s.
    const BYTE: u64 = 62_500 << 10;
    const MS: u64 = 1_000_000;
    const BOUND: Bound = Bound { bytes: 96_000, timeout_ns: 250 * MS, byte_ns_times_1024: BYTE };

    fn seen(unsent: u64, sent: u64, unacknowledged: u64) -> Seen {
        Seen { unsent, sent, unacknowledged, burst: 0, overtaken: false }
    }

    #[test]
    fn h3_the_rule_as_a_table() {
        let over = |since_ms: u64, acknowledged| Pace { acknowledged, over_since_ns: Some(since_ms * MS) };
        let within = |acknowledged| Pace { acknowledged, over_since_ns: None };
        let at = 10_000;
        let table = [
            // before, what is seen at 10 s, act, after
            (within(0), seen(2304, 2304, 2304), Act::Send(2304), within(0)),
            (within(0), seen(2304, 9000, 0), Act::Send(2304), within(9000)),
            // The kernel gets no more than the bound, though more is on air.
            (within(50), seen(4000, 94_050, 94_000), Act::Send(2000), over(9875, 50)),
            // At the bound: since when follows from how far it is past it (160 bytes = 10 ms).
            (within(50), seen(160, 96_050, 96_000), Act::Wait, over(9990, 50)),
            (over(9990, 50), seen(160, 96_050, 96_000), Act::Wait, over(9990, 50)),
            (over(9751, 50), seen(3984, 96_050, 96_000), Act::Wait, over(9751, 50)),
            (over(9750, 50), seen(4000, 96_050, 96_000), Act::Slow, over(9750, 50)),
            // One byte acknowledged, and it has 250 ms more.
            (over(9750, 50), seen(4000, 96_050, 95_999), Act::Send(1), over(10_000, 51)),
            // Below the bound again.
            (over(9990, 50), seen(160, 96_050, 90_000), Act::Send(160), within(6050)),
            // A kernel that takes nothing more counts too: unsent bytes are lag.
            (within(0), seen(100_000, 0, 0), Act::Slow, over(9750, 0)),
        ];
        for (mut pace, seen, act, after) in table {
            let before = pace;
            assert_eq!(pace.step(seen, BOUND, at * MS), act, "{before:?} on {seen:?}");
            assert_eq!(pace, after, "{before:?} on {seen:?}");
        }
    }

    #[test]
    fn h3_overtaken_is_slow_whatever_else_is_seen() {
        let seen = Seen { overtaken: true, ..seen(240_000, 500_000, 10) };
        assert_eq!(Pace::default().step(seen, BOUND, 0), Act::Slow);
    }

    #[test]
    fn h3_a_stalled_listener_is_slow_at_the_bound_plus_250_ms_give_or_take_a_batch() {
        for phase_ms in [0, 24, 96, 143] {
            let (mut pace, mut sent) = (Pace::default(), 0u64);
            let slow_ms = (0..)
                .map(|batch| phase_ms + batch * 144)
                .find(|now_ms| {
                    let on_air = now_ms * 16;
                    match pace.step(seen(on_air - sent, sent, sent), BOUND, now_ms * MS) {
                        Act::Send(bytes) => sent += bytes,
                        Act::Wait => {}
                        Act::Slow => return true,
                    }
                    false
                })
                .expect("slow at last");
            assert!((6250..6250 + 144).contains(&slow_ms), "{slow_ms} ms at phase {phase_ms}");
        }
    }

    #[test]
    fn h3_a_listener_at_nine_tenths_of_the_speed_is_served_until_the_ring_overtakes_it() {
        let (mut pace, mut sent) = (Pace::default(), 0u64);
        for batch in 1..1000u64 {
            let now_ms = batch * 144;
            let acknowledged = (now_ms * 144 / 10).min(sent);
            let act = pace.step(seen(now_ms * 16 - sent, sent, sent - acknowledged), BOUND, now_ms * MS);
            match act {
                Act::Send(bytes) => sent += bytes,
                Act::Wait => {}
                Act::Slow => panic!("slow after {now_ms} ms"),
            }
        }
    }

    #[test]
    fn h3_the_bound_shrinks_for_all_and_grows_back() {
        let (full, min, max) = (96_000, 16_000, 64 << 20);
        let shrunk = std::iter::successors(Some(full), |b| Some(next_bound(*b, max + 1, max, min, full)));
        let steps: Vec<u64> = shrunk.take(20).collect();
        assert_eq!(steps[1], 84_000);
        assert_eq!(steps[19], min);
        assert_eq!(next_bound(min, max, max, min, full), min, "no change in between");
        let grown = std::iter::successors(Some(min), |b| Some(next_bound(*b, max / 2, max, min, full)));
        assert_eq!(grown.take(20).last(), Some(full));
    }
}
