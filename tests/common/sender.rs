//! A station that behaves: fills first, then keeps time by CLOCK_MONOTONIC.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use retrowaves::{
    frame::{PumpFrame, TICK_NS},
    sys::time::{now_ns, sleep_until},
};

/// Sends `frame(0)`, `frame(1)`, … until stopped.
pub struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    pub fn start(socket: &Path, fill_frames: u64, frame: impl Fn(u64) -> PumpFrame + Send + 'static) -> Self {
        let mut stream = UnixStream::connect(socket).expect("the tower listens");
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            // Best effort: a sender that is starved by the test machine would prove nothing.
            let _ = retrowaves::sys::thread::set_fifo(10);
            let start = now_ns();
            for number in 0u64.. {
                let due = start + number.saturating_sub(fill_frames) * TICK_NS;
                sleep_until(due).expect("sleep");
                if stopped.load(SeqCst) || stream.write_all(&frame(number).to_le_bytes()).is_err() {
                    return;
                }
                count.store(number + 1, SeqCst);
            }
        });
        Self { stop, sent, thread: Some(thread) }
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    pub fn stop(mut self) -> u64 {
        self.stop.store(true, SeqCst);
        self.thread.take().expect("once").join().expect("sender");
        self.sent()
    }
}
