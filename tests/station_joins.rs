//! Two files cut from one continuous signal play back to back as if they had never been cut.

mod common;

use std::time::Duration;

use common::{
    Setup,
    joins::{Join, continuous, cut_in_two, decoded, join_of},
    listener::Recorder,
    pcm_sink::{FakeTower, PcmSink},
    station::StationSetup,
    temp_dir,
};
use nix::sys::signal::Signal;

/// No multiple of 1024, 1152 or 576.
const CUT: usize = 3 * 48_000 + 517;
const SAMPLES: usize = 6 * 48_000;
/// With two files of three seconds, 15 seconds hold the one and then the other, whichever begins.
const LISTEN_SEC: u64 = 15;

fn plain(music: &std::path::Path) -> StationSetup {
    StationSetup::default().music(music).set("playout.level=false").set("playout.crossfade=false")
}

/// What arrives at `pcm.sock`, compared with the signal; and the largest error of the codec itself.
fn played(ending: &str) -> (Join, u16) {
    let dir = temp_dir();
    let signal = continuous(SAMPLES);
    let music = dir.join("music");
    let files = cut_in_two(&music, &signal, CUT, ending);
    let codec = files.map(|file| decoded(&file)).concat();
    let codec_error = codec.iter().zip(&signal).map(|(a, b)| a.abs_diff(*b)).max().expect("not empty");
    let sink = PcmSink::start(&dir.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = plain(&music).start(&sink.path, &tower.url);
    sink.wait_for_bytes(LISTEN_SEC * 192_000, Duration::from_secs(LISTEN_SEC * 4));
    station.end(Signal::SIGKILL);
    let received = sink.received();
    let join = join_of(&received.samples(), &signal, CUT, 100)
        .unwrap_or_else(|| panic!("{ending}: the signal was not heard\n{}", station.log()));
    std::fs::remove_dir_all(&dir).expect("removed");
    (join, codec_error)
}

#[test]
fn fd1_3_wav_files_join_on_the_sample() {
    let (join, _) = played("wav");
    assert_eq!((join.inserted, join.largest_difference), (0, 0), "{join:?}");
}

#[test]
fn fd1_3_flac_files_join_on_the_sample() {
    let (join, _) = played("flac");
    assert_eq!((join.inserted, join.largest_difference), (0, 0), "{join:?}");
}

#[test]
fn fd1_3_mp3_files_join_without_gap_or_step() {
    let (join, codec_error) = played("mp3");
    assert_eq!(join.inserted, 0, "LAME's delay and padding are taken away: {join:?}");
    assert!(join.largest_difference <= codec_error + 2, "the codec alone: {codec_error}; {join:?}");
}

#[test]
fn fd1_3_the_join_is_not_heard_at_the_stream() {
    let dir = temp_dir();
    let signal = continuous(SAMPLES);
    let music = dir.join("music");
    cut_in_two(&music, &signal, CUT, "flac");
    let tower = Setup::default().set("encoder.bitrate=320").start();
    tower.wait_until("the encoder runs", Duration::from_secs(60), |status| status["encoder"]["state"] == "RUNNING");
    let recorder = Recorder::start(tower.port);
    let mut station = plain(&music).start(&tower.pcm_socket(), &format!("http://127.0.0.1:{}", tower.port));
    std::thread::sleep(Duration::from_secs(LISTEN_SEC + 5));
    let heard = recorder.stop().decoded(&dir);
    station.end(Signal::SIGKILL);
    let join = join_of(&heard, &signal, CUT, 200).unwrap_or_else(|| panic!("not heard\n{}", station.log()));
    assert_eq!(join.inserted, 0, "{join:?}");
    // The stream is encoded anew: its error at the join is that of anywhere else.
    assert!(join.largest_at_join <= join.largest_elsewhere + join.largest_elsewhere / 4 + 50, "{join:?}");
    std::fs::remove_dir_all(&dir).expect("removed");
}
