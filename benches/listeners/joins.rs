//! Joining, one by one: how long from connecting to the first byte of audio, and whether that begins a frame.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use retrowaves::encoder::Header;

const JOINS: u32 = 40;

/// Some joins.
#[derive(Default)]
pub struct Joins {
    pub first_ms: Vec<f64>,
    pub framed: usize,
}

impl Joins {
    /// Joins a server, at moments that have nothing to do with its ticks.
    pub fn of(port: u16) -> Self {
        let mut joins = Self::default();
        for join in 0..JOINS {
            sleep(Duration::from_millis(40) + Duration::from_micros(u64::from(join) * 611));
            let (time, is_framed) = join_once(port);
            joins.first_ms.push(time.as_secs_f64() * 1e3);
            joins.framed += usize::from(is_framed);
        }
        joins
    }

    pub fn all(rounds: &[&Self]) -> Self {
        let mut first_ms: Vec<f64> = rounds.iter().flat_map(|joins| joins.first_ms.iter().copied()).collect();
        first_ms.sort_by(f64::total_cmp);
        Self { first_ms, framed: rounds.iter().map(|joins| joins.framed).sum() }
    }

    pub fn p50_ms(&self) -> f64 {
        self.first_ms[self.first_ms.len() / 2]
    }

    pub fn max_ms(&self) -> f64 {
        self.first_ms[self.first_ms.len() - 1]
    }
}

fn join_once(port: u16) -> (Duration, bool) {
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("request");
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(read > 0, "disconnected at once");
        heard.extend_from_slice(&buffer[..read]);
        let head = heard.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
        if let Some(four) = head.and_then(|head| heard.get(head..head + 4)) {
            let four: [u8; 4] = four.try_into().expect("4 bytes");
            return (start.elapsed(), Header::parse(four).is_some());
        }
    }
}
