//! The decoder against the real FFmpeg and files as people have them: what comes out
//! is the file, to the sample, and what cannot come out says why and hurts nobody.

mod common;

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Mutex, MutexGuard},
    thread::sleep,
    time::{Duration, Instant},
};

use common::material::{Folder, encode, encode_from, music_values};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use retrowaves::{
    decoder::{Decoded, FfmpegDecoder, decode_whole, open_count},
    frame::{CHANNELS, STATION_FRAME_SAMPLES},
};

const LONG: Duration = Duration::from_secs(60);
const TEN_SECONDS: usize = 480_000;

/// All that comes, checked to be whole frames but the last, and the failure if any.
fn drain(mut decoder: FfmpegDecoder) -> (Vec<i16>, Option<String>) {
    let mut values = Vec::new();
    let mut was_partial = false;
    loop {
        match decoder.wait_frame(LONG) {
            Decoded::Frame(frame) => {
                assert!(!was_partial, "a frame after the partial one");
                was_partial = frame.samples < STATION_FRAME_SAMPLES;
                values.extend_from_slice(frame.played());
            }
            Decoded::End => return (values, None),
            Decoded::Failed(error) => return (values, Some(error.to_string())),
            Decoded::NotYet => panic!("nothing within {LONG:?}"),
        }
    }
}

fn open(file: &Path, start_ms: u64) -> FfmpegDecoder {
    FfmpegDecoder::open(Path::new("ffmpeg"), file, start_ms).expect("decoder")
}

fn decoded(file: &Path) -> Vec<i16> {
    let (values, failure) = drain(open(file, 0));
    assert_eq!(failure, None, "{}", file.display());
    values
}

fn refusal(file: &Path) -> String {
    let (values, failure) = drain(open(file, 0));
    assert!(values.is_empty(), "{}: {} values", file.display(), values.len());
    failure.unwrap_or_else(|| panic!("{} is not refused", file.display()))
}

fn samples(values: &[i16]) -> usize {
    assert_eq!(values.len() % CHANNELS, 0);
    values.len() / CHANNELS
}

/// The loudest value of one channel.
fn peak(values: &[i16], channel: usize) -> u16 {
    values.iter().skip(channel).step_by(CHANNELS).map(|value| value.unsigned_abs()).max().unwrap_or(0)
}

/// How far two recordings are apart, in dB below the first.
fn difference_db(expected: &[i16], got: &[i16]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let signal = power(&mut expected.iter().map(|v| f64::from(*v)));
    let noise = power(&mut expected.iter().zip(got).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    10.0 * (noise.max(1.0) / signal).log10()
}

/// What was logged by this test program.
fn logged() -> MutexGuard<'static, Vec<String>> {
    LOGGED.lock().expect("not poisoned")
}

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        logged().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn fd1_1_lossless_files_come_out_as_they_went_in() {
    let folder = Folder::new();
    // Not a whole number of station frames.
    let music = music_values(100_001);
    for (name, args) in [
        ("a.wav", &["-c:a", "pcm_s16le"][..]),
        ("a.flac", &["-c:a", "flac"]),
        ("24.flac", &["-c:a", "flac", "-sample_fmt", "s32"]),
        ("24.wav", &["-c:a", "pcm_s24le"]),
        ("float.wav", &["-c:a", "pcm_f32le"]),
        ("a.aiff", &["-c:a", "pcm_s16be"]),
        ("a.m4a", &["-c:a", "alac"]),
        ("a.mka", &["-c:a", "wavpack"]),
    ] {
        let file = folder.join(name);
        encode(&music, &file, args);
        assert!(decoded(&file) == music, "{name} is not what it was");
    }
}

#[test]
fn fd1_2_fd1_3_lossy_files_have_their_length_and_stand_in_their_place() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    for (name, args, apart_db) in [
        ("cbr.mp3", &["-c:a", "libmp3lame", "-b:a", "192k"][..], -12.0),
        ("vbr.mp3", &["-c:a", "libmp3lame", "-q:a", "2"], -12.0),
        ("a.ogg", &["-c:a", "libvorbis", "-q:a", "6"], -12.0),
        ("a.opus", &["-c:a", "libopus", "-b:a", "192k"], -12.0),
    ] {
        let file = folder.join(name);
        encode(&music, &file, args);
        let got = decoded(&file);
        assert_eq!(samples(&got), TEN_SECONDS, "{name}");
        // Shifted by one sample it would be far from this.
        let apart = difference_db(&music, &got);
        println!("{name}: {apart:.1} dB");
        assert!(apart < apart_db, "{name}: {apart:.1} dB from what it was");
    }
}

#[test]
fn fd1_1_every_rate_gives_the_same_length() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    for rate in ["8000", "11025", "22050", "32000", "44100", "96000", "192000"] {
        let file = folder.join(&format!("{rate}.wav"));
        encode(&music, &file, &["-ar", rate, "-c:a", "pcm_s16le"]);
        assert_eq!(samples(&decoded(&file)), TEN_SECONDS, "{rate} Hz");
    }
    for rate in ["8000", "22050", "44100"] {
        let file = folder.join(&format!("{rate}.mp3"));
        encode(&music, &file, &["-ar", rate, "-c:a", "libmp3lame"]);
        assert_eq!(samples(&decoded(&file)), TEN_SECONDS, "MP3, {rate} Hz");
    }
}

#[test]
fn fd1_1_one_channel_fills_both_at_its_own_level_and_many_fit_in() {
    let folder = Folder::new();
    let full: Vec<i16> = (0..48_000u32).flat_map(|i| [if i / 240 % 2 == 0 { i16::MAX } else { i16::MIN }; 2]).collect();
    let both = folder.join("both.wav");
    encode(&full, &both, &["-c:a", "pcm_s16le"]);
    let mono = folder.join("mono.wav");
    // One of the two channels, unchanged.
    encode_from(&both, &mono, &["-af", "pan=mono|c0=c0", "-c:a", "pcm_s16le"]);
    assert!(decoded(&mono) == full, "a mono file is not as loud as its stereo sister");
    let cancel = nix::sys::eventfd::EventFd::new().expect("eventfd");
    let whole = decode_whole(Path::new("ffmpeg"), &mono, 10, &cancel).expect("decoded");
    assert!(*whole == *full);
    // Resampled at full level it overshoots, and is held at the ends of the range.
    let other = folder.join("44.wav");
    encode_from(&mono, &other, &["-ar", "44100", "-c:a", "pcm_f32le"]);
    let got = decoded(&other);
    assert_eq!((samples(&got), peak(&got, 0), peak(&got, 1)), (48_000, 32_768, 32_768));
    let wraps = got.iter().step_by(2).collect::<Vec<_>>().windows(2).filter(|w| (*w[0] < 0) != (*w[1] < 0)).count();
    assert_eq!(wraps, 199, "each change of sign is the file's own");

    let surround = folder.join("surround.flac");
    encode_from(&mono, &surround, &["-af", "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0", "-c:a", "flac"]);
    let got = decoded(&surround);
    assert!(samples(&got) == 48_000 && peak(&got, 0) > 32_000 && peak(&got, 1) > 32_000);
}

#[test]
fn fd1_1_a_picture_in_the_tag_and_a_film_beside_the_sound_are_passed_over() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    let (plain, picture) = (folder.join("plain.mp3"), folder.join("cover.png"));
    encode(&music, &plain, &["-c:a", "libmp3lame"]);
    encode_from(Path::new("color=red:s=900x900"), &picture, &["-frames:v", "1"]);
    let tagged = folder.join("tagged.mp3");
    let cover = picture.to_str().expect("path");
    encode_from(
        &plain,
        &tagged,
        &["-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-id3v2_version", "3", "-metadata", "title=T"],
    );
    assert!(decoded(&tagged) == decoded(&plain));
    let (sound, film) = (folder.join("sound.flac"), folder.join("film.mkv"));
    encode(&music, &sound, &["-c:a", "flac"]);
    encode_from(
        &sound,
        &film,
        &["-f", "lavfi", "-i", "testsrc=d=10:s=64x64", "-map", "1:v", "-map", "0:a", "-c:a", "copy"],
    );
    assert!(decoded(&film) == music);
}

#[test]
fn fd1_3_a_truncated_file_plays_what_is_there() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    for (name, args) in [
        ("a.wav", &["-c:a", "pcm_s16le"][..]),
        ("a.mp3", &["-c:a", "libmp3lame", "-b:a", "128k"]),
        ("a.flac", &["-c:a", "flac"]),
        ("a.ogg", &["-c:a", "libvorbis"]),
    ] {
        let file = folder.join(name);
        encode(&music, &file, args);
        let whole = decoded(&file);
        let bytes = fs::read(&file).expect("file");
        fs::write(&file, &bytes[..bytes.len() / 2 + 1]).expect("file");
        let got = decoded(&file);
        println!("{name}: {} of {TEN_SECONDS} samples from half the bytes", samples(&got));
        assert!((100_000..400_000).contains(&samples(&got)), "{name}: {}", samples(&got));
        // But for the last packet, which is not whole.
        let sure = got.len() - 20_000;
        assert!(got[..sure] == whole[..sure], "{name} plays something else");
    }
}

#[test]
fn fd1_4_damage_in_mid_file_does_not_end_the_segment() {
    log::set_logger(&Keep).expect("the only one");
    log::set_max_level(log::LevelFilter::Warn);
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    let file = folder.join("a.mp3");
    encode(&music, &file, &["-c:a", "libmp3lame", "-b:a", "128k"]);
    let mut bytes = fs::read(&file).expect("file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 5000].fill(0x55);
    fs::write(&file, bytes).expect("file");
    let got = decoded(&file);
    println!("5000 damaged bytes: {} samples", samples(&got));
    assert!((440_000..=TEN_SECONDS).contains(&samples(&got)), "{}", samples(&got));
    // FFmpeg's words reach the log, once, a few lines of them, with the file's name.
    let name = file.to_string_lossy();
    let lines: Vec<String> = logged().iter().filter(|line| line.contains(&*name)).cloned().collect();
    println!("{}", lines.join("\n"));
    assert!((1..=17).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.starts_with("WARN [FFMPEG] ")));
}

#[test]
fn fd1_4_what_is_no_audio_is_refused_in_words() {
    let folder = Folder::new();
    let text = "This is not music, whatever its name says.\n".repeat(1000);
    let song = folder.join("song.flac");
    encode(&music_values(48_000), &song, &["-c:a", "flac"]);
    let local_list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", song.display());
    let session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n";
    for (name, content, words) in [
        ("empty.mp3", "", "there is no audio"),
        ("text.mp3", text.as_str(), ""),
        ("text.flac", text.as_str(), ""),
        ("http.mp3", "http://127.0.0.1:9/a.mp3\n", ""),
        ("hls.mp3", local_list.as_str(), "playlist"),
        ("concat.mp3", "ffconcat version 1.0\nfile song.flac\n", "playlist"),
        ("sdp.mp3", session, "whitelist"),
    ] {
        let file = folder.join(name);
        fs::write(&file, content).expect("file");
        let error = refusal(&file);
        println!("{error}");
        assert!(error.contains(name) && error.contains(words) && error.len() > file.as_os_str().len() + 40, "{error}");
        assert!(!error.contains("it said nothing"), "{error}");
    }
    let film = folder.join("silent.mkv");
    encode_from(Path::new("testsrc=d=1:s=64x64"), &film, &[]);
    assert!(refusal(&film).contains("matches no streams"), "{}", refusal(&film));
}

#[test]
fn fd1_4_fd2_1_what_is_no_file_neither_hangs_nor_opens() {
    let folder = Folder::new();
    let fifo = folder.join("fifo.mp3");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    let circle = folder.join("circle.mp3");
    std::os::unix::fs::symlink(&circle, &circle).expect("link");
    for (file, words) in [
        (fifo, "not a regular file"),
        (circle, "symbolic links"),
        (folder.join("."), "not a regular file"),
        (folder.join("none.mp3"), "No such file"),
        ("/dev/zero".into(), "not a regular file"),
    ] {
        let error = refusal(&file);
        assert!(error.contains("cannot read the file") && error.contains(words), "{error}");
    }
}

#[test]
fn fd1_1_any_name_will_do() {
    let folder = Folder::new();
    let music = music_values(5000);
    let plain = folder.join("plain.flac");
    encode(&music, &plain, &["-c:a", "flac"]);
    for name in [
        b"two\nlines.flac".as_slice(),
        b"broken \xff\xfe utf8.flac",
        b"-i.flac",
        b"http:a.flac",
        b"100%d%03d%%.flac",
        b"it's \"quoted\" \\ $(x) ;&|.flac",
        b" .flac ",
        b"concat:a|b.flac",
        b"[0:a]",
    ] {
        let file = folder.join("").join(OsStr::from_bytes(name));
        fs::copy(&plain, &file).expect("copy");
        assert!(decoded(&file) == music, "{}", file.display());
    }
}

#[test]
fn fd1_1_a_start_offset_is_met_to_the_sample() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    for (name, args) in [
        ("a.flac", &["-c:a", "flac"][..]),
        ("a.wav", &["-c:a", "pcm_s16le"]),
        ("cbr.mp3", &["-c:a", "libmp3lame", "-b:a", "192k"]),
        ("vbr.mp3", &["-c:a", "libmp3lame", "-q:a", "4"]),
    ] {
        let file = folder.join(name);
        encode(&music, &file, args);
        let whole = decoded(&file);
        for start_ms in [1u16, 1234, 9990] {
            let (got, failure) = drain(open(&file, u64::from(start_ms)));
            assert_eq!(failure, None);
            let expected = &whole[usize::from(start_ms) * 48 * CHANNELS..];
            assert_eq!(samples(&got), samples(expected), "{name} from {start_ms} ms");
            // A decoder that starts within a stream needs some frames to settle.
            let settled = expected.len().min(10_000);
            assert!(got[settled..] == expected[settled..], "{name} from {start_ms} ms is somewhere else");
        }
    }
    let beyond = drain(open(&folder.join("a.flac"), 60_000));
    assert!(beyond.0.is_empty() && beyond.1.is_some_and(|words| words.contains("start that was asked for")));
}

/// The FFmpeg that decodes `file`, by its command line.
fn ffmpeg_of(file: &Path) -> Option<Pid> {
    let needle = format!("file:{}", file.display());
    let pids = fs::read_dir("/proc").expect("proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == needle.as_bytes())
    };
    pids.into_iter().find(is_it).map(Pid::from_raw)
}

#[test]
fn fd1_4_fd2_1_a_killed_ffmpeg_ends_the_segment_with_what_it_gave() {
    let folder = Folder::new();
    let music = music_values(TEN_SECONDS);
    let file = folder.join("a.wav");
    encode(&music, &file, &["-c:a", "pcm_s16le"]);
    let mut decoder = open(&file, 0);
    // Beyond what the ring and the pipe hold, so that it is still at work.
    for _ in 0..20 {
        assert!(matches!(decoder.wait_frame(LONG), Decoded::Frame(_)));
    }
    // The file may go: it is open.
    fs::remove_file(&file).expect("remove");
    wait_until("it is ahead again", || decoder.ready_samples() > 5 * STATION_FRAME_SAMPLES);
    kill(ffmpeg_of(&file).expect("it runs"), Signal::SIGKILL).expect("kill");
    let (values, failure) = drain(decoder);
    assert!(failure.as_ref().is_some_and(|words| words.contains("SIGKILL")), "{failure:?}");
    let from = 20 * STATION_FRAME_SAMPLES * CHANNELS;
    assert!(values.len() > 5 * STATION_FRAME_SAMPLES * CHANNELS && values[..] == music[from..from + values.len()]);
    assert!(ffmpeg_of(&file).is_none(), "it was reaped before the failure was told");
}

#[test]
fn fd2_1_decoders_that_are_dropped_at_any_moment_leave_nothing() {
    let folder = Folder::new();
    let file = folder.join("a.mp3");
    encode(&music_values(TEN_SECONDS), &file, &["-c:a", "libmp3lame"]);
    for frames in 0..12 {
        let mut decoder = open(&file, 0);
        (0..frames).for_each(|_| assert!(matches!(decoder.wait_frame(LONG), Decoded::Frame(_))));
        decoder.close();
    }
    let measuring = FfmpegDecoder::open_to_measure(Path::new("ffmpeg"), &file).expect("decoder");
    wait_until("it runs", || ffmpeg_of(&file).is_some());
    assert_eq!(samples(&drain(measuring).0), TEN_SECONDS);
    wait_until("no child is left", || ffmpeg_of(&file).is_none());
    wait_until("no thread is left", || open_count() == 0);
    let error = FfmpegDecoder::open(&folder.join("no-ffmpeg"), &file, 0).map(drain).expect("a thread").1;
    assert!(error.is_some_and(|words| words.contains("cannot start the decoder")));
}
