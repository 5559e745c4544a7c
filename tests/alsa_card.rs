//! The sound card that stands in for a real one in the tests of live input: it must behave as one.

mod common;

use std::{
    f64::consts::TAU,
    fs::File,
    io::Write,
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use alsa::{
    Direction, PollDescriptors, ValueOr,
    pcm::{Access, Format, Frames, HwParams, PCM, State},
    poll::Flags,
};
use common::card::{self, AfterStall, MARK_MS, TestCard, in_own_process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use retrowaves::{input::live::convert::SampleFormat, sys::time::now_ns};

const RATE_HZ: u32 = 48_000;
const PERIOD_FRAMES: usize = 480;
const PERIOD_MS: u64 = 10;
/// A second: a machine that stands still now and then makes no overrun that a test did not mean.
const BUFFER_FRAMES: usize = 48_000;
/// Frames that arrive together, and one.
const BUNCH: f64 = 49.0;

/// How it is to be opened.
#[derive(Debug, Clone, Copy)]
struct Wish {
    pcm: &'static str,
    format: SampleFormat,
    rate_hz: u32,
    channels: u32,
    buffer_frames: usize,
}

const ORDINARY: Wish =
    Wish { pcm: card::PCM, format: SampleFormat::S16Le, rate_hz: RATE_HZ, channels: 2, buffer_frames: BUFFER_FRAMES };

impl Wish {
    fn open(self) -> alsa::Result<Stream> {
        self.open_as(false)
    }

    fn open_as(self, nonblock: bool) -> alsa::Result<Stream> {
        let pcm = PCM::new(self.pcm, Direction::Capture, nonblock)?;
        {
            let hw = HwParams::any(&pcm)?;
            hw.set_access(Access::RWInterleaved)?;
            let Ok(format) = self.format.name().parse::<Format>();
            hw.set_format(format)?;
            hw.set_rate(self.rate_hz, ValueOr::Nearest)?;
            hw.set_channels(self.channels)?;
            hw.set_period_size_near(frames(PERIOD_FRAMES), ValueOr::Nearest)?;
            hw.set_buffer_size_near(frames(self.buffer_frames))?;
            pcm.hw_params(&hw)?;
        }
        Ok(Stream { pcm, wish: self })
    }
}

struct Stream {
    pcm: PCM,
    wish: Wish,
}

impl Stream {
    /// Samples in fractions of full scale, a list per channel.
    fn read(&self, frames: usize) -> alsa::Result<Vec<Vec<f64>>> {
        let (bytes, channels) = (self.wish.format.bytes(), self.wish.channels as usize);
        let mut buffer = vec![0; frames * bytes * channels];
        let mut have = 0;
        while have < frames {
            have += self.pcm.io_bytes().readi(&mut buffer[have * bytes * channels..])?;
        }
        let samples: Vec<f64> = buffer.chunks(bytes).map(|sample| value(self.wish.format, sample)).collect();
        Ok((0..channels).map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect()).collect())
    }

    /// Until nothing waits.
    fn read_all(&self) -> Vec<f64> {
        let waiting = usize::try_from(self.pcm.avail().expect("avail")).expect("frames");
        self.read(waiting).expect("what waits").swap_remove(0)
    }

    /// Whether the descriptor woke us, and what ALSA says of it.
    fn poll(&self, timeout_ms: u16) -> (bool, Flags) {
        let mut fds = self.pcm.get().expect("descriptors");
        // SAFETY: the descriptor is the PCM's, which outlives this call.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fds[0].fd) };
        let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
        let woken = poll(&mut polled, PollTimeout::from(timeout_ms)).expect("poll") > 0;
        fds[0].revents = if woken { libc::POLLIN } else { 0 };
        (woken, self.pcm.revents(&fds).expect("revents"))
    }

    /// All that has come since the start, and between which moments it was counted.
    fn come(&self, taken: usize) -> (u64, u64, f64) {
        let before_ns = now_ns();
        let waiting = self.pcm.avail().expect("avail");
        (before_ns, now_ns(), taken as f64 + waiting as f64)
    }
}

fn frames(count: usize) -> Frames {
    Frames::try_from(count).expect("few frames")
}

fn value(format: SampleFormat, sample: &[u8]) -> f64 {
    let mut bytes = sample.to_vec();
    match format {
        SampleFormat::F32Le => return f64::from(f32::from_le_bytes(bytes.try_into().expect("4 bytes"))),
        SampleFormat::U8 => bytes[0] ^= 0x80,
        SampleFormat::S16Be | SampleFormat::S24Be3 | SampleFormat::S32Be => bytes.reverse(),
        // The highest byte means nothing.
        SampleFormat::S24Le => bytes.truncate(3),
        SampleFormat::S16Le | SampleFormat::S24Le3 | SampleFormat::S32Le => {}
    }
    let mut word = [0; 4];
    word[4 - bytes.len()..].copy_from_slice(&bytes);
    f64::from(i32::from_le_bytes(word)) / 2_f64.powi(31)
}

/// The smallest difference that the format can express, and half of which rounding may cost.
fn step(format: SampleFormat) -> f64 {
    match format {
        SampleFormat::U8 => 2_f64.powi(-7),
        SampleFormat::S16Le | SampleFormat::S16Be => 2_f64.powi(-15),
        SampleFormat::S32Le | SampleFormat::S32Be => 2_f64.powi(-31),
        SampleFormat::S24Le3 | SampleFormat::S24Le | SampleFormat::S24Be3 | SampleFormat::F32Le => 2_f64.powi(-23),
    }
}

fn assert_tone(samples: &[f64], rate_hz: u32, hz: f64, amplitude: f64, tolerance: f64) {
    for (at, sample) in samples.iter().enumerate() {
        let meant = amplitude * (TAU * hz * at as f64 / f64::from(rate_hz)).sin();
        assert!((sample - meant).abs() <= tolerance, "{hz} Hz, sample {at}: {sample} and not {meant}");
    }
}

/// Amplitude of the part of the signal with this frequency.
fn level(samples: &[f64], rate_hz: u32, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * at as f64 / f64::from(rate_hz);
        (re, im) = (re + sample * angle.cos(), im + sample * angle.sin());
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}

fn errno<T>(result: alsa::Result<T>) -> i32 {
    result.err().expect("an error").errno().abs()
}

#[test]
fn v1_the_card_gives_its_tone_exactly_in_every_format() {
    in_own_process(TestCard::builder().formats(&SampleFormat::ALL), |card| {
        card.set_tone([1000.0, 440.0], [1.0, 0.25]);
        for format in SampleFormat::ALL {
            let stream = Wish { format, ..ORDINARY }.open().expect("opens");
            let sound = stream.read(1000).expect("sound");
            // Full scale itself is clipped to the highest number there is.
            assert_tone(&sound[0], RATE_HZ, 1000.0, 1.0, step(format) * 1.001);
            assert_tone(&sound[1], RATE_HZ, 440.0, 0.25, step(format) * 0.501);
        }
        assert_eq!(card.opens(), 9);
    });
}

#[test]
fn v1_the_card_runs_at_every_rate_and_with_every_channel_count_it_has() {
    in_own_process(TestCard::builder().rates(&[44_100, 48_000, 96_000, 192_000]).channels(&[1, 2, 4]), |card| {
        card.set_tone([1000.0, 440.0], [0.5, 0.25]);
        for (rate_hz, channels) in [(44_100, 1), (48_000, 2), (96_000, 4), (192_000, 2)] {
            let stream = Wish { rate_hz, channels, ..ORDINARY }.open().expect("opens");
            let sound = stream.read(2000).expect("sound");
            let tones = [(1000.0, 0.5), (440.0, 0.25), (1000.0, 0.25), (1500.0, 0.25)];
            for (samples, (hz, amplitude)) in sound.iter().zip(tones) {
                assert_tone(samples, rate_hz, hz, amplitude, step(SampleFormat::S16Le));
            }
        }
    });
}

#[test]
fn v1_what_the_card_has_not_is_not_negotiated() {
    in_own_process(TestCard::builder().rates(&[32_000, 44_100]).buffer_bytes_max(4096), |_| {
        let pcm = PCM::new(card::PCM, Direction::Capture, false).expect("opens");
        let hw = HwParams::any(&pcm).expect("parameters");
        assert_eq!(errno(hw.set_format(Format::S32LE)), libc::EINVAL);
        assert_eq!(errno(hw.set_channels(1)), libc::EINVAL);
        assert_eq!(errno(hw.set_rate(48_000, ValueOr::Nearest)), libc::EINVAL);
        assert_eq!(hw.set_rate_near(48_000, ValueOr::Nearest), Ok(44_100));
        assert_eq!(hw.set_channels_near(1), Ok(2));
        assert_eq!(hw.set_buffer_size_near(48_000), Ok(1024));
        assert_eq!(errno(PCM::new(card::PCM, Direction::Playback, false)), libc::EINVAL);
    });
}

/// Frames between two moments, which are known to within how long it took to ask, and a bunch.
fn assert_rate(start: (u64, u64, f64), end: (u64, u64, f64), ppm: f64) {
    let per_ns = f64::from(RATE_HZ) * (1.0 + ppm / 1e6) / 1e9;
    let (least, most) = ((end.0 - start.1) as f64 * per_ns - BUNCH, (end.1 - start.0) as f64 * per_ns + BUNCH);
    let frames = end.2 - start.2;
    assert!((least..=most).contains(&frames), "{frames} frames at {ppm} ppm, and not {least} to {most}");
}

#[test]
fn v1_frames_come_in_real_time_as_fast_as_the_crystal_is() {
    in_own_process(TestCard::builder(), |card| {
        let stream = ORDINARY.open().expect("opens");
        card.set_tone([1000.0, 0.0], [0.5, 0.0]);
        card.set_ppm(-300.0);
        let mut heard = stream.read(PERIOD_FRAMES).expect("sound").swap_remove(0);
        let begin = stream.come(heard.len());
        heard.extend(stream.read(RATE_HZ as usize / 2).expect("sound").swap_remove(0));
        let middle = stream.come(heard.len());
        assert_rate(begin, middle, -300.0);

        card.set_ppm(50_000.0);
        let turned = stream.come(heard.len());
        heard.extend(stream.read(RATE_HZ as usize / 2).expect("sound").swap_remove(0));
        assert_rate(turned, stream.come(heard.len()), 50_000.0);
        // No jump where it changed.
        assert_tone(&heard, RATE_HZ, 1000.0, 0.5, step(SampleFormat::S16Le));
        assert!(card.frames_delivered() == heard.len() as u64 && card.frames_produced() >= heard.len() as u64);
    });
}

#[test]
fn v1_poll_wakes_once_per_period_and_reading_never_waits_then() {
    in_own_process(TestCard::builder(), |card| {
        let stream = ORDINARY.open_as(true).expect("opens");
        assert_eq!(stream.poll(30), (false, Flags::empty()), "polling does not start it");
        assert!(!card.running());
        stream.pcm.start().expect("starts");
        assert!(card.running());
        assert_eq!(errno(stream.read(BUFFER_FRAMES)), libc::EAGAIN);
        let (start, mut wakes, mut frames) = (Instant::now(), 0, 0);
        while start.elapsed() < Duration::from_millis(300) {
            let (woken, flags) = stream.poll(1000);
            assert!(woken && flags == Flags::IN, "woken for {flags:?}");
            let here = stream.read_all().len();
            assert!(here >= PERIOD_FRAMES, "woken for {here} frames");
            (wakes, frames) = (wakes + 1, frames + here);
        }
        let periods = frames / PERIOD_FRAMES;
        // Fewer where the machine stood still meanwhile.
        assert!((periods / 4..=periods).contains(&wakes), "{wakes} wakes in {periods} periods");
        let nothing_waits = (0..50).any(|_| {
            stream.read_all();
            stream.poll(0) == (false, Flags::empty())
        });
        assert!(nothing_waits, "all is read and it still wakes");
    });
}

#[test]
fn v1_poll_wakes_when_as_much_is_there_as_the_reader_wants() {
    in_own_process(TestCard::builder(), |_| {
        let stream = ORDINARY.open().expect("opens");
        let wanted = 3 * PERIOD_FRAMES;
        let sw = stream.pcm.sw_params_current().expect("parameters");
        sw.set_avail_min(frames(wanted)).expect("avail_min");
        stream.pcm.sw_params(&sw).expect("parameters");
        stream.pcm.start().expect("starts");
        for _ in 0..5 {
            assert_eq!(stream.poll(1000), (true, Flags::IN));
            assert!(stream.read_all().len() >= wanted);
        }
    });
}

#[test]
fn v1_a_marker_is_recorded_at_its_moment() {
    in_own_process(TestCard::builder(), |card| {
        let stream = ORDINARY.open().expect("opens");
        let before_ns = now_ns();
        stream.pcm.start().expect("starts");
        let slack_ns = now_ns() - before_ns;
        card.mark_at_ns(before_ns + 100_000_000);
        let sound = stream.read(RATE_HZ as usize / 5).expect("sound").swap_remove(0);
        let first = sound.iter().position(|sample| *sample != 0.0).expect("a marker");
        let last = sound.iter().rposition(|sample| *sample != 0.0).expect("a marker");
        // Its first sample is the 0 of a sine; the stream began between the two readings of the clock.
        let earliest = f64::from(RATE_HZ) * (1e8 - slack_ns as f64) / 1e9 - 1.0;
        assert!((earliest..=4802.0).contains(&(first as f64)), "at frame {first}, {slack_ns} ns");
        let (length, meant) = (last - first + 1, usize::try_from(MARK_MS).expect("short") * 48);
        assert!((meant - 2..=meant).contains(&length), "{length} frames");
    });
}

#[test]
fn v1_a_plug_and_a_rate_over_the_card_convert() {
    let card = TestCard::builder().formats(&[SampleFormat::S32Le]).plug("plugged").rate("resampled", RATE_HZ);
    in_own_process(card, |card| {
        card.set_tone([1000.0, 1000.0], [0.5, 0.5]);
        let same_format = Wish { pcm: "resampled", format: SampleFormat::S32Le, rate_hz: 44_100, ..ORDINARY };
        for wish in [Wish { pcm: "plugged", rate_hz: 44_100, channels: 1, ..ORDINARY }, same_format] {
            let sound = wish.open().expect("opens").read(4410 + 441).expect("sound").swap_remove(0);
            let heard = level(&sound[441..], 44_100, 1000.0);
            assert!((0.45..0.55).contains(&heard), "{wish:?}: {heard}");
        }
        let sound = Wish { pcm: "plugged", ..ORDINARY }.open().expect("opens").read(9600).expect("sound");
        assert_tone(&sound[1], RATE_HZ, 1000.0, 0.5, 2.0 * step(SampleFormat::S16Le));
    });
}

#[test]
fn v1_a_fifo_and_null_are_devices_too() {
    in_own_process(TestCard::builder().piped("piped"), |card| {
        let fifo = card.fifo("piped");
        let writer = spawn(move || {
            let samples: Vec<u8> = (0..9600_i16).flat_map(i16::to_le_bytes).collect();
            File::options().write(true).open(fifo).expect("a reader").write_all(&samples).expect("written");
        });
        let sound = Wish { pcm: "piped", ..ORDINARY }.open().expect("opens").read(PERIOD_FRAMES).expect("sound");
        assert_eq!(sound[1][479], 959.0 / 32768.0);
        let _ = writer.join();
        let silence = Wish { pcm: "null", ..ORDINARY }.open().expect("opens").read(PERIOD_FRAMES);
        assert_eq!(silence.expect("silence").len(), 2);
    });
}

#[test]
fn v1_the_card_has_one_reader_at_a_time() {
    in_own_process(TestCard::builder(), |card| {
        let first = ORDINARY.open().expect("opens");
        assert_eq!(errno(ORDINARY.open()), libc::EBUSY);
        drop(first);
        assert!(ORDINARY.open().is_ok());
        assert_eq!(card.opens(), 2);
    });
}

/// A loss of 7.25 periods of the tone leaves it a quarter of a period elsewhere.
const LOSS_MS: u64 = 29;
const LOSS_HZ: f64 = 250.0;

#[test]
fn v3_an_overrun_is_told_once_loses_sound_and_is_recovered() {
    in_own_process(TestCard::builder(), |card| {
        card.set_tone([LOSS_HZ, LOSS_HZ], [0.5, 0.5]);
        let stream = ORDINARY.open().expect("opens");
        stream.read(PERIOD_FRAMES).expect("sound");
        card.xrun(LOSS_MS);
        assert_eq!(errno(stream.read(PERIOD_FRAMES)), libc::EPIPE);
        assert_eq!(stream.pcm.state(), State::XRun);
        assert_eq!(errno(stream.read(PERIOD_FRAMES)), libc::EPIPE);
        assert!(stream.poll(1000).1.contains(Flags::ERR));
        stream.pcm.prepare().expect("recovers");
        stream.pcm.start().expect("starts");
        let sound = stream.read(4800).expect("sound").swap_remove(0);
        assert!((level(&sound, RATE_HZ, LOSS_HZ) - 0.5).abs() < 0.001);
        assert_eq!((card.overruns(), card.opens()), (1, 1));
    });
}

#[test]
fn v3_a_reader_that_is_later_than_the_buffer_overruns() {
    in_own_process(TestCard::builder(), |card| {
        let stream = Wish { buffer_frames: BUFFER_FRAMES / 5, ..ORDINARY }.open().expect("opens");
        stream.read(PERIOD_FRAMES).expect("sound");
        sleep(Duration::from_millis(250));
        assert_eq!(errno(stream.read(PERIOD_FRAMES)), libc::EPIPE);
        stream.pcm.prepare().expect("recovers");
        assert!(stream.read(PERIOD_FRAMES).is_ok(), "reading starts it");
        assert_eq!(card.overruns(), 1);
    });
}

#[test]
fn v3_a_stalled_card_wakes_nobody_and_its_sound_is_lost() {
    in_own_process(TestCard::builder(), |card| {
        card.set_tone([LOSS_HZ, LOSS_HZ], [0.5, 0.5]);
        let stream = ORDINARY.open().expect("opens");
        let mut taken = stream.read(PERIOD_FRAMES).expect("sound")[0].len();
        card.stall(AfterStall::Lost);
        // Woken by the stall's begin; then what came before is read.
        stream.poll(1000);
        taken += stream.read_all().len();
        let frozen = stream.come(taken);
        assert_eq!(stream.poll(200), (false, Flags::empty()));
        assert_eq!(stream.come(taken).2, frozen.2);
        card.end_stall();
        let again = stream.come(taken);
        assert_eq!(again.2, frozen.2, "what was recorded meanwhile is lost");
        taken += stream.read(PERIOD_FRAMES * 4).expect("sound")[0].len();
        assert_rate(again, stream.come(taken), 0.0);
        assert_eq!(card.overruns(), 0);
    });
}

#[test]
fn v3_after_a_stall_of_its_bus_all_comes_at_once() {
    in_own_process(TestCard::builder(), |card| {
        card.set_tone([1000.0, 0.0], [0.5, 0.0]);
        let stream = ORDINARY.open().expect("opens");
        let mut heard = stream.read(PERIOD_FRAMES).expect("sound").swap_remove(0);
        let begin = stream.come(heard.len());
        card.stall(AfterStall::Kept);
        heard.extend(stream.read_all());
        sleep(Duration::from_millis(3 * PERIOD_MS));
        assert!(stream.read_all().is_empty());
        card.end_stall();
        assert_eq!(stream.poll(1000), (true, Flags::IN));
        let burst = stream.read_all();
        assert!(burst.len() >= 3 * PERIOD_FRAMES, "{} frames", burst.len());
        heard.extend(burst);
        assert_rate(begin, stream.come(heard.len()), 0.0);
        assert_tone(&heard, RATE_HZ, 1000.0, 0.5, step(SampleFormat::S16Le));
    });
}

#[test]
fn v3_an_unplugged_card_is_gone_until_it_is_opened_again() {
    in_own_process(TestCard::builder(), |card| {
        let stream = ORDINARY.open().expect("opens");
        std::thread::scope(|threads| {
            threads.spawn(|| {
                sleep(Duration::from_millis(50));
                card.unplug();
            });
            // It waits for sound when the cable is pulled.
            assert_eq!(errno(stream.read(100 * PERIOD_FRAMES)), libc::ENODEV);
        });
        assert_eq!(stream.pcm.state(), State::Disconnected);
        assert!(stream.poll(1000).1.contains(Flags::ERR));
        assert_eq!(errno(stream.pcm.prepare()), libc::ENODEV);
        drop(stream);
        assert_eq!(errno(ORDINARY.open()), libc::ENODEV);
        card.plug();
        assert!(ORDINARY.open().expect("opens again").read(PERIOD_FRAMES).is_ok());
    });
}

#[test]
fn v3_a_card_that_came_back_does_not_revive_the_stream_that_was_open() {
    in_own_process(TestCard::builder(), |card| {
        let stream = ORDINARY.open().expect("opens");
        stream.read(PERIOD_FRAMES).expect("sound");
        card.unplug();
        card.plug();
        assert!(stream.poll(1000).1.contains(Flags::ERR), "a sleeping reader is woken");
        assert_eq!(errno(stream.read(PERIOD_FRAMES)), libc::ENODEV);
        assert_eq!(errno(stream.pcm.prepare()), libc::ENODEV);
    });
}
