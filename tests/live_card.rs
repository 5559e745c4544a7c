//! A card as the capture thread has it, with PCMs that need no hardware.

use std::{
    fs,
    io::Write,
    os::fd::AsFd,
    path::PathBuf,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use nix::{errno::Errno, sys::eventfd::EventFd, sys::stat::Mode, unistd::mkfifo};
use retrowaves::{
    cli::tower::devices::devices,
    config::{self, LiveConfig, LiveLatency, TowerConfig},
    input::live::{
        card::{AlsaCard, CardError, Woken, look},
        convert::SampleFormat,
        device::Roots,
    },
};

/// Aborts the test at any allocation of ours where none is allowed (libasound has its own).
#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// A folder with the configuration of ALSA that this process has, and FIFOs.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("live-card");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("folder");
    let fifo = folder.join("fifo");
    let config = format!(
        "pcm.null {{ type null }}
pcm.six {{
  type multi
  slaves.a {{ pcm \"null\" channels 6 }}
  bindings {{ 0 {{ slave a channel 0 }} 1 {{ slave a channel 1 }} 2 {{ slave a channel 2 }}
    3 {{ slave a channel 3 }} 4 {{ slave a channel 4 }} 5 {{ slave a channel 5 }} }}
}}
pcm.cd {{ type plug slave {{ pcm \"null\" rate 44100 format S16_LE }} }}
pcm.fast {{ type plug slave {{ pcm \"null\" rate 384000 }} }}
pcm.fed {{ type file slave.pcm \"null\" file \"/dev/null\" infile \"{}\" format \"raw\" }}
pcm.broken {{ type nonsense }}
pcm.hw {{
  @args [ CARD DEV ]
  @args.CARD {{ type string }}
  @args.DEV {{ type integer default 0 }}
  type null
}}
",
        fifo.display()
    );
    mkfifo(&fifo, Mode::S_IRWXU).expect("fifo");
    let file = folder.join("asound.conf");
    fs::write(&file, config).expect("asound.conf");
    // SAFETY: every test waits here before it does anything with ALSA, and nothing else
    // in this process asks for its environment from C.
    unsafe { std::env::set_var("ALSA_CONFIG_PATH", file) };
    folder
});

fn open(pcm: &str) -> Result<AlsaCard, CardError> {
    LazyLock::force(&FOLDER);
    AlsaCard::open(pcm, LiveLatency::Normal)
}

#[test]
fn a_card_that_can_do_anything_is_asked_for_what_is_best() {
    let setup = open("null").expect("opened").setup();
    assert_eq!(setup.to_string(), "48000 Hz, 2 channels, S32_LE, period 480, buffer 19200 frames");
    let setup = AlsaCard::open("null", LiveLatency::Low).expect("opened").setup();
    assert_eq!((setup.period_frames, setup.buffer_frames), (240, 19_200));
}

#[test]
fn what_a_card_really_has_is_taken() {
    assert_eq!(open("six").expect("opened").setup().channels, 6);
    // A plug-in PCM could resample, and is not let.
    let setup = open("cd").expect("opened").setup();
    assert_eq!((setup.rate_hz, setup.period_frames, setup.buffer_frames), (44_100, 441, 17_640));
}

#[test]
fn a_rate_that_makes_no_sense_is_resampled_where_that_is_possible() {
    assert_eq!(open("fast").expect("opened").setup().rate_hz, 48_000);
}

#[test]
fn looking_tells_what_there_is() {
    LazyLock::force(&FOLDER);
    let (offer, setup) = look("null", LiveLatency::Normal).expect("looked at");
    assert_eq!(offer.formats, SampleFormat::ALL);
    assert!(offer.channels.0 == 1 && offer.channels.1 >= 64, "{offer:?}");
    assert!(offer.rates_hz.contains(&8000) && offer.rates_hz.contains(&192_000), "{offer:?}");
    assert_eq!(setup.format, SampleFormat::S32Le);
    assert_eq!(look("cd", LiveLatency::Normal).expect("looked at").0.rates_hz, [44_100]);
}

#[test]
fn what_is_not_there_is_said_in_the_words_of_alsa() {
    for (pcm, said) in [("foo", "Unknown PCM foo"), ("a\0b", "zero byte"), ("", "Unknown PCM")] {
        let error = open(pcm).expect_err(pcm);
        assert!(matches!(error, CardError::NotThere { .. }), "{pcm}: {error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = open("broken").expect_err("broken").to_string();
    assert!(error.starts_with("broken: ") && error.contains("nonsense"), "{error}");
}

#[test]
fn what_the_capture_thread_calls_allocates_nothing() {
    let mut card = open("null").expect("opened");
    let wake = EventFd::new().expect("eventfd");
    let mut bytes = vec![0; 480 * card.setup().frame_bytes()];
    let results = assert_no_alloc(|| {
        let started = card.start();
        let woken = card.wait(wake.as_fd(), 1000);
        let (avail, read) = (card.avail(), card.read(&mut bytes));
        // It runs already: an errno is made without allocating, too.
        (started, woken, avail.is_ok(), read, card.start(), card.recover())
    });
    assert_eq!(results, (Ok(()), Ok(Woken::Card), true, Ok(480), Err(Errno::EBADFD), Ok(())));
}

#[test]
fn a_card_is_read_as_it_is_fed_and_whoever_waits_for_it_can_be_woken() {
    let fifo = FOLDER.join("fifo");
    let feeder = thread::spawn(move || {
        let mut fifo = fs::OpenOptions::new().write(true).open(fifo).expect("fifo");
        (0..10).try_for_each(|_| {
            thread::sleep(Duration::from_millis(10));
            fifo.write_all(&[7; 480 * 8])
        })
    });
    let mut card = open("fed").expect("opened");
    let wake = EventFd::new().expect("eventfd");
    card.start().expect("started");
    assert_eq!(card.wait(wake.as_fd(), 1000), Ok(Woken::Card));
    assert!(card.avail().expect("avail") > 0);
    let mut bytes = vec![0; 480 * card.setup().frame_bytes()];
    let begun = Instant::now();
    for _ in 0..10 {
        bytes.fill(0);
        assert_eq!(card.read(&mut bytes), Ok(480));
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
    assert!(begun.elapsed() > Duration::from_millis(50), "the FIFO's pace");
    wake.write(1).expect("written");
    assert_eq!(card.wait(wake.as_fd(), 1000), Ok(Woken::Told));
    assert_eq!(card.recover(), Ok(()));
    feeder.join().expect("joined").expect("fed");
}

fn live(device: &str) -> LiveConfig {
    config::load::<TowerConfig>(None, &[format!("live.device={device:?}")]).expect("configuration").config.live
}

/// A kernel of which these files tell.
fn kernel(name: &str, cards: &str, pcms: &str) -> Roots {
    let proc_asound = FOLDER.join(name);
    fs::create_dir_all(&proc_asound).expect("folder");
    fs::write(proc_asound.join("cards"), cards).expect("cards");
    fs::write(proc_asound.join("pcm"), pcms).expect("pcm");
    Roots { proc_asound, sys_class_sound: FOLDER.join("none") }
}

#[test]
fn devices_lists_each_card_with_what_to_write_and_what_would_be_used() {
    let cards = " 0 [CODEC          ]: USB-Audio - USB Audio CODEC\n                      at usb-1, full speed\n";
    let roots = kernel("one", cards, "00-00: USB Audio : USB Audio : playback 1 : capture 1\n");
    let text = devices(&live("CODEC"), &roots);
    for part in [
        "CODEC: USB Audio CODEC\n  at usb-1, full speed\n  live.device = \"CODEC\"\n",
        "  hw:CARD=CODEC,DEV=0  USB Audio\n    has        S32_LE ",
        "    would use  48000 Hz, 2 channels, S32_LE, ",
        "live.device = \"CODEC\"\n  hw:CARD=CODEC: would use 48000 Hz, ",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let text = devices(&live("CODEX"), &roots);
    assert!(text.contains("CODEX: no sound card has this id") && text.contains("there are: CODEC"), "{text}");
    let text = devices(&live("usb:1-9"), &roots);
    assert!(text.contains("usb:1-9: no sound card is plugged in there; there are: CODEC"), "{text}");
}

#[test]
fn devices_without_a_card_says_so_and_what_to_do() {
    let text = devices(&live(""), &kernel("no-card", "--- no soundcards ---\n", ""));
    assert!(text.starts_with("no sound card was found\n  Plug one in"), "{text}");
    assert!(text.contains("live.device is not set"), "{text}");
    let text = devices(&live("cd"), &kernel("no-card", "", ""));
    assert!(text.contains("live.device = \"cd\"\n  would use 44100 Hz, 2 channels"), "{text}");
}
