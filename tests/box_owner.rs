//! W2, W3: the owner's files on the card. The real `tower box apply` on folders that stand for the card and the data
//! partition; a real tower with what comes of it.

mod common;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use common::the_box::{TheBox, at_every_cut, findings, vendor_dir};

fn utf16le(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEkAq6NajLX/0j4IGnIjOasgjwS+OmJ8VOWIAQ7zYwZF me@home";
const PRIVATE_KEY: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n";

/// Name, content, and what has to be said about it.
fn broken_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let huge = b"# music\n".repeat(1 << 17);
    let unmarked: Vec<u8> = "[http]\r\nport = 80\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("tower.toml", text("[http\nport = 8000\n"), "line 1: not valid TOML"),
        ("tower.toml", text("[http]\nport = 70000\n"), "line 2: http.port is 70000; allowed is a whole number"),
        ("tower.toml", text("[http]\r\nprot = 8000\r\n"), "line 2: unknown key http.prot; did you mean http.port?"),
        ("tower.toml", text("[live]\ndevice = “CODEC”\n"), "curly quotes"),
        ("tower.toml", unmarked, "UTF-16 without a byte order mark"),
        ("tower.toml", utf16le("[http]\nport = 8000\n")[..15].to_vec(), "UTF-16, and broken"),
        ("tower.toml", b"[stream]\nname = \"R\xe4dio\"\n".to_vec(), "line 2 is not UTF-8"),
        ("tower.toml", vec![0; 4096], "NUL bytes"),
        ("tower.toml", huge, "1048576 bytes; no more than 65536 are read"),
        ("tower.toml", text("{\\rtf1\\ansi [http]}"), "RTF document"),
        ("tower.toml.txt", text("[http]\nport = 8000\n"), "its name has to be tower.toml; Windows hides the end"),
        ("station.toml", text("[music]\nfolder = [\"/data/music\"]\n"), "did you mean music.folders?"),
        ("station.toml", text("[rotation]\nweights = [\"Rock=loud\"]\n"), "rotation.weights"),
        ("wifi.txt", text("ssid=Home\npassword=1234567\n"), "password has 7 characters"),
        ("wifi.txt", format!("ssid=Home\npassword={}\n", "a b".repeat(22)).into_bytes(), "password has 66 characters"),
        ("wifi.txt", text("password=secretsecret\n"), "names no network"),
        ("wifi.txt", text("ssid=Home\npasswort=secretsecret\n"), "write password=…"),
        ("wifi.txt", text("ssid=Home\n"), "has no password for \"Home\", and the box has kept none"),
        ("wifi.txt", b"PK\x03\x04 a document".to_vec(), "word processor"),
        ("wifi.conf", text("ssid=Home\npassword=secretsecret\n"), "its name has to be wifi.txt"),
        ("hostname.txt", text("my radio\n"), "the name has ' '"),
        ("hostname.txt", "a".repeat(64).into_bytes(), "the name has 64 letters"),
        ("hostname.txt.txt", text("radio"), "its name has to be hostname.txt"),
        ("authorized_keys", text(&PUBLIC_KEY[..40]), "cut off or damaged"),
        ("authorized_keys", text(PRIVATE_KEY), "PRIVATE key"),
        ("id_ed25519.pub", text(PUBLIC_KEY), "its name has to be authorized_keys"),
        ("RESET", text("please"), "has to be empty, or to hold the word: everything"),
        ("RESET.txt", Vec::new(), "its name has to be RESET"),
    ]
}

#[test]
fn w3_twenty_eight_broken_files_are_each_reported_in_words_and_the_defaults_are_used() {
    let files = broken_files();
    assert_eq!(files.len(), 28);
    for (name, content, words) in files {
        let the_box = TheBox::new();
        the_box.owner(name, &content);
        the_box.write("data/music/song.mp3", "music");
        let report = the_box.apply();
        let said = findings(&report, name, "mistake");
        assert!(said.contains(words), "{name}: {words:?} is not in {said:?}\n{report:#}");
        // The same on the card, as Notepad shows it; a password is nowhere.
        let on_card = the_box.read("card/retrowaves/REPORT.txt");
        assert!(on_card.contains("\r\nWRONG  ") && !on_card.replace("\r\n", "").contains('\n'), "{on_card:?}");
        let line = words.lines().next().expect("words");
        assert!(on_card.contains(line), "{line}: {on_card}");
        assert!(!on_card.contains("secretsecret") && !report.to_string().contains("secretsecret"), "{on_card}");
        // Nothing of it is used, nothing else is lost.
        for unused in ["run/tower.toml", "run/station.toml", "hostname", "data/ssh/authorized_keys"] {
            assert!(!the_box.exists(unused), "{name}: {unused}");
        }
        assert_eq!(fs::read_dir(the_box.path("data/wifi")).expect("wifi").count(), 0, "{name}");
        assert!(the_box.exists("data/music/song.mp3"));
    }
}

#[test]
fn w3_folders_fifos_and_links_where_files_belong_are_reported_and_hang_nothing() {
    let the_box = TheBox::new();
    fs::create_dir(the_box.path("card/retrowaves/tower.toml")).expect("folder");
    fs::create_dir(the_box.path("card/retrowaves/RESET")).expect("folder");
    nix::unistd::mkfifo(&the_box.path("card/retrowaves/wifi.txt"), nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    std::os::unix::fs::symlink("/dev/zero", the_box.path("card/retrowaves/station.toml")).expect("link");
    let report = the_box.apply();
    assert!(findings(&report, "tower.toml", "mistake").contains("is a folder"), "{report:#}");
    assert!(findings(&report, "RESET", "mistake").contains("Nothing was erased"), "{report:#}");
    assert!(findings(&report, "wifi.txt", "mistake").contains("not a file"), "{report:#}");
    assert!(findings(&report, "station.toml", "mistake").contains("not a file"), "{report:#}");
}

#[test]
fn w1_w3_a_box_with_nothing_but_mistakes_is_on_air_and_says_them_in_status() {
    let the_box = TheBox::new();
    let mut one_each: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, content, _) in broken_files() {
        if !one_each.iter().any(|(other, _)| *other == name) {
            one_each.push((name, content));
        }
    }
    one_each.iter().for_each(|(name, content)| the_box.owner(name, content));
    the_box.apply();
    let tower = the_box.tower().start();
    tower.wait_until("frames go on air", Duration::from_secs(30), |status| {
        status["frames_on_air"].as_u64() > Some(50) && status["encoder"]["state"] == "RUNNING"
    });
    let status = tower.status();
    let about = &status["box"];
    assert_eq!((about["slot"].as_str(), about["version"].as_str()), (Some("A"), Some("0.2.0")), "{about:#}");
    assert_eq!(about["on_trial"], false);
    for (name, _) in &one_each {
        assert_ne!(findings(about, name, "mistake"), "", "{name}: {about:#}");
    }
    tower.stop();
}

#[test]
fn w3_status_of_a_tower_that_is_on_no_box_says_so() {
    let the_box = TheBox::new();
    let tower = the_box.tower().start();
    assert!(tower.status().get("box").is_some_and(serde_json::Value::is_null));
    tower.stop();
}

#[test]
fn w3_files_as_windows_and_macs_write_them_are_applied_and_the_tower_runs_with_them() {
    let the_box = TheBox::new();
    the_box.owner("TOWER.TOML", utf16le("[stream]\r\nname = \"Küche\"\r\n\r\n[fallback]\r\ntone_hz = 880\r\n"));
    the_box.owner("station.toml", b"\xef\xbb\xbf[rotation]\r\ntitle_gap_min = 60\r\n");
    the_box.owner("wifi.txt", "SSID = \"Café\"\rPassword = 'pass word'\rcountry = de\r");
    the_box.owner("hostname.txt", "Radio-1.local\r\n");
    the_box.owner("authorized_keys", format!("# me\r\n{PUBLIC_KEY}\r\n"));
    the_box.owner(".DS_Store", [0; 10]);
    the_box.owner("notes.txt", "buy milk");
    let report = the_box.apply();
    for (file, note) in [("tower.toml", "is UTF-16"), ("station.toml", "byte order mark"), ("wifi.txt", "line ends")] {
        assert!(findings(&report, file, "note").contains(note), "{file}: {report:#}");
    }
    assert!(!report.to_string().contains("mistake"), "{report:#}");
    assert_eq!(the_box.read("run/station.toml"), "[rotation]\ntitle_gap_min = 60\n");
    assert_eq!(the_box.read("hostname"), "radio-1");
    assert_eq!(the_box.read("data/ssh/authorized_keys"), format!("{PUBLIC_KEY}\n"));
    assert_eq!(the_box.read("data/wifi/=436166c3a9.psk"), "[Security]\nPassphrase=pass word\n");
    assert_eq!(the_box.read("run/iwd/main.conf"), "[General]\nCountry=DE\n");
    let mode = |name: &str| fs::metadata(the_box.path(name)).expect("there").mode() & 0o777;
    assert_eq!((mode("data/wifi"), mode("data/ssh"), mode("data/wifi/=436166c3a9.psk")), (0o700, 0o700, 0o600));
    let tower = the_box.tower().start();
    tower.wait_until("frames go on air", Duration::from_secs(10), |status| status["frames_on_air"].as_u64() > Some(20));
    tower.stop();
}

#[test]
fn w3_the_wifi_password_leaves_the_card_and_is_kept_until_there_is_another() {
    let the_box = TheBox::new();
    the_box.owner("wifi.txt", "# home\r\nssid=Home\r\npassword=secretsecret\r\n");
    let report = the_box.apply();
    assert!(findings(&report, "wifi.txt", "done").contains("taken out of this file"), "{report:#}");
    let psk = "[Security]\nPassphrase=secretsecret\n";
    assert_eq!(the_box.read("data/wifi/Home.psk"), psk);
    let everything: Vec<u8> = the_box.snapshot("card").into_iter().flat_map(|(_, content)| content).collect();
    assert!(!String::from_utf8_lossy(&everything).contains("secretsecret"), "the password is still on the card");
    let rest = the_box.read("card/retrowaves/wifi.txt");
    assert!(rest.contains("# home\r\nssid=Home\r\n") && rest.contains("moved into the box"), "{rest}");

    // The next start has no password line, and keeps what it has; so does one whose file is wrong, or gone.
    let report = the_box.apply();
    assert!(!report.to_string().contains("mistake"), "{report:#}");
    the_box.owner("wifi.txt", "ssid=Home\npassword=short\n");
    the_box.apply();
    fs::remove_file(the_box.path("card/retrowaves/wifi.txt")).expect("removed");
    the_box.apply();
    assert_eq!(the_box.read("data/wifi/Home.psk"), psk);
    // Another network takes its place.
    the_box.owner("wifi.txt", "ssid=Work\npassword=othersecret\n");
    the_box.apply();
    assert_eq!(the_box.read("data/wifi/Work.psk"), "[Security]\nPassphrase=othersecret\n");
    assert!(!the_box.exists("data/wifi/Home.psk"));
    the_box.owner("wifi.txt", "ssid=Cafe\nopen=yes\n");
    the_box.apply();
    assert!(the_box.exists("data/wifi/Cafe.open") && !the_box.exists("data/wifi/Work.psk"));
}

#[test]
fn w3_the_relays_password_leaves_the_card_and_the_tower_still_gets_it() {
    let the_box = TheBox::new();
    let settings = "[relay]\nurl = \"http://source:secretsecret@icecast.lan:8000/live.mp3\"\n";
    the_box.owner("tower.toml", settings.replace('\n', "\r\n"));
    let report = the_box.apply();
    assert!(findings(&report, "tower.toml", "done").contains("*** stands in its place"), "{report:#}");
    assert_eq!(the_box.read("run/tower.toml"), settings);
    let everything: Vec<u8> = the_box.snapshot("card").into_iter().flat_map(|(_, content)| content).collect();
    assert!(!String::from_utf8_lossy(&everything).contains("secretsecret"), "the password is still on the card");
    assert_eq!(
        the_box.read("card/retrowaves/tower.toml"),
        "[relay]\r\nurl = \"http://source:***@icecast.lan:8000/live.mp3\"\r\n"
    );
    assert_eq!(fs::metadata(the_box.path("data/owner/secrets")).expect("kept").mode() & 0o777, 0o600);

    // The next start puts it in; so does one after a file that was wrong, or gone.
    let report = the_box.apply();
    assert!(!report.to_string().contains("mistake"), "{report:#}");
    assert_eq!(the_box.read("run/tower.toml"), settings);
    let on_card = the_box.read("card/retrowaves/tower.toml");
    the_box.owner("tower.toml", "[relay\n");
    the_box.apply();
    fs::remove_file(the_box.path("card/retrowaves/tower.toml")).expect("removed");
    the_box.apply();
    the_box.owner("tower.toml", &on_card);
    the_box.apply();
    assert_eq!(the_box.read("run/tower.toml"), settings);
    // For another server it is asked for, since it is not that one's.
    the_box.owner("tower.toml", on_card.replace("icecast.lan", "elsewhere.lan"));
    let report = the_box.apply();
    let said = findings(&report, "tower.toml", "mistake");
    assert!(said.contains("http://source:***@elsewhere.lan:8000/live.mp3: the box has kept no password"), "{said}");
    assert!(!the_box.exists("run/tower.toml"));
}

#[test]
fn w2_w3_power_may_go_at_any_moment_and_no_password_or_key_is_lost() {
    const SETTINGS: &str = "[relay]\nurl = \"http://source:secretsecret@icecast.lan/live.mp3\"\n";
    let (mut cuts, mut moved) = (0, 0);
    at_every_cut(|call, at| {
        let the_box = TheBox::new();
        the_box.owner("wifi.txt", "ssid=Home\npassword=secretsecret\n");
        the_box.owner("authorized_keys", format!("{PRIVATE_KEY}{PUBLIC_KEY}\n"));
        the_box.owner("tower.toml", SETTINGS);
        if !the_box.cut(&["box", "apply"], call, at) {
            return false;
        }
        cuts += 1;
        // The password is on the card, or in the box; the files are whole.
        let on_card = the_box.read("card/retrowaves/wifi.txt").contains("password=secretsecret");
        let in_box = the_box.read("data/wifi/Home.psk") == "[Security]\nPassphrase=secretsecret\n";
        assert!(on_card || in_box, "cut at {call} {at}");
        let key_on_card = the_box.read("card/retrowaves/authorized_keys").contains("PRIVATE KEY-----");
        let key_in_box = the_box.read("data/ssh/private-key-of-the-owner").contains("PRIVATE KEY-----");
        assert!(key_on_card || key_in_box, "cut at {call} {at}");
        moved += u32::from(in_box);
        let settings = the_box.read("run/tower.toml");
        assert!(settings.is_empty() || settings == SETTINGS, "{settings:?}");
        // The next start goes on from there.
        the_box.apply();
        assert!(!the_box.read("card/retrowaves/wifi.txt").contains("secretsecret"));
        assert_eq!(the_box.read("data/ssh/authorized_keys"), format!("{PUBLIC_KEY}\n"));
        assert!(!the_box.read("card/retrowaves/tower.toml").contains("secretsecret"));
        assert_eq!(the_box.read("run/tower.toml"), SETTINGS);
        assert!(the_box.snapshot("").iter().all(|(path, _)| path.extension().is_none_or(|end| end != "new")));
        true
    });
    eprintln!("{cuts} cuts, {moved} with the password in the box");
    assert!(cuts > 40 && moved > 5 && moved < cuts, "{cuts} cuts, {moved} with the password in the box");
}

#[test]
fn w3_a_private_key_is_moved_off_the_card_and_public_ones_beside_it_count() {
    let the_box = TheBox::new();
    let file = format!("{PUBLIC_KEY}\r\n{PRIVATE_KEY}nonsense\r\n");
    the_box.owner("authorized_keys", &file);
    let report = the_box.apply();
    let said = findings(&report, "authorized_keys", "mistake");
    assert!(said.contains("make a new pair of keys") && said.contains("line 5: is not a public key"), "{said}");
    assert_eq!(the_box.read("data/ssh/authorized_keys"), format!("{PUBLIC_KEY}\n"));
    // It may be the only copy there is.
    assert_eq!(the_box.read("data/ssh/private-key-of-the-owner"), file);
    let left = the_box.read("card/retrowaves/authorized_keys");
    assert!(left.ends_with(&format!("\r\n{PUBLIC_KEY}\r\n")) && !left.contains("b3BlbnNzaC1rZXk"), "{left}");
    // A file that is gone takes its keys with it.
    the_box.apply();
    assert_eq!(the_box.read("data/ssh/authorized_keys"), format!("{PUBLIC_KEY}\n"));
    fs::remove_file(the_box.path("card/retrowaves/authorized_keys")).expect("removed");
    the_box.apply();
    assert!(!the_box.exists("data/ssh/authorized_keys"));
}

#[test]
fn w3_reset_erases_what_it_says_and_then_itself() {
    for (word, music) in [("", true), ("\u{feff}\r\n", true), (" Everything \r\n", false)] {
        let the_box = TheBox::new();
        the_box.owner("wifi.txt", "ssid=Home\npassword=secretsecret\n");
        the_box.owner("authorized_keys", PUBLIC_KEY);
        the_box.owner("tower.toml", "[fallback]\ntone_hz = 880\n");
        the_box.owner("hostname.txt", "radio");
        the_box.write("data/state/station.state", "played");
        the_box.write("data/music/song.mp3", "music");
        the_box.write("data/rauc/installed.raucs", "slots");
        the_box.apply();
        the_box.owner("reset", word);
        let report = the_box.apply();
        assert!(findings(&report, "RESET", "note").contains("erased"), "{report:#}");
        let gone =
            ["data/wifi/Home.psk", "data/ssh/authorized_keys", "data/owner/tower.toml", "data/state/station.state"];
        let gone = gone.into_iter().chain(["run/tower.toml", "card/retrowaves/wifi.txt", "card/retrowaves/tower.toml"]);
        for gone in gone.chain(["card/retrowaves/authorized_keys", "card/retrowaves/reset"]) {
            assert!(!the_box.exists(gone), "{word:?}: {gone}");
        }
        assert_eq!(the_box.exists("data/music/song.mp3"), music, "{word:?}");
        assert!(the_box.exists("data/state") && the_box.exists("data/rauc/installed.raucs"));
        assert!(the_box.exists("card/autoboot.txt"));
        // Once.
        the_box.write("data/state/station.state", "played again");
        assert_eq!(findings(&the_box.apply(), "RESET", "note"), "");
        assert!(the_box.exists("data/state/station.state"));
    }
}

#[test]
fn w2_the_card_is_written_only_when_there_is_something_new_to_say() {
    let the_box = TheBox::new();
    the_box.owner("hostname.txt", "my radio");
    the_box.apply();
    let about =
        |name: &str| fs::metadata(the_box.path(name)).map(|about| (about.ino(), about.modified().expect("time")));
    let files = ["card/autoboot.txt", "card/retrowaves/REPORT.txt", "card/retrowaves", "card", "data/rauc/slots.toml"];
    let before: Vec<(u64, SystemTime)> = files.iter().map(|name| about(name).expect("there")).collect();
    the_box.apply();
    let after: Vec<(u64, SystemTime)> = files.iter().map(|name| about(name).expect("there")).collect();
    assert_eq!(before, after);
    the_box.owner("hostname.txt", "radio");
    the_box.apply();
    assert!(the_box.read("card/retrowaves/REPORT.txt").contains("http://radio.local/"));
}

#[test]
fn w3_without_the_card_the_last_good_settings_count_and_a_missing_folder_is_made() {
    let the_box = TheBox::new();
    the_box.owner("tower.toml", "[fallback]\ntone_hz = 880\n");
    the_box.owner("hostname.txt", "radio");
    the_box.owner("authorized_keys", PUBLIC_KEY);
    the_box.apply();
    // The first partition cannot be mounted: its folder is empty.
    fs::rename(the_box.path("card"), the_box.path("pulled")).expect("pulled");
    fs::create_dir(the_box.path("card")).expect("folder");
    fs::remove_dir_all(the_box.path("run")).expect("the next start");
    let report = the_box.apply();
    assert!(findings(&report, "", "mistake").contains("cannot be read"), "{report:#}");
    assert_eq!(the_box.read("run/tower.toml"), "[fallback]\ntone_hz = 880\n");
    assert_eq!(the_box.read("hostname"), "radio");
    assert_eq!(the_box.read("data/ssh/authorized_keys"), format!("{PUBLIC_KEY}\n"));
    // It is there, and has no folder of the owner's: the image's settings, and a report where he will look.
    fs::write(the_box.path("card/autoboot.txt"), "[all]\nboot_partition=2\n").expect("file");
    let report = the_box.apply();
    assert!(findings(&report, "", "note").contains("settings of the image"), "{report:#}");
    assert!(!the_box.exists("run/tower.toml") && the_box.exists("card/retrowaves/REPORT.txt"));
}

#[test]
fn w2_without_the_data_partition_settings_count_and_nothing_leaves_the_card() {
    let the_box = TheBox::new();
    the_box.owner("tower.toml", "[fallback]\ntone_hz = 880\n");
    the_box.owner("wifi.txt", "ssid=Home\npassword=secretsecret\n");
    the_box.owner("authorized_keys", format!("{PRIVATE_KEY}{PUBLIC_KEY}\n"));
    fs::remove_dir_all(the_box.path("data")).expect("removed");
    the_box.write("data", "no folder: nothing can be made in it, not even by root");
    let report = the_box.apply();
    assert_eq!(the_box.read("run/tower.toml"), "[fallback]\ntone_hz = 880\n");
    assert!(findings(&report, "wifi.txt", "mistake").contains("cannot be moved into the box"), "{report:#}");
    assert!(the_box.read("card/retrowaves/wifi.txt").contains("password=secretsecret"));
    assert!(the_box.read("card/retrowaves/authorized_keys").contains("PRIVATE KEY-----"));
    assert!(the_box.read("card/retrowaves/REPORT.txt").contains("cannot be moved"));
}

#[test]
fn w2_the_card_is_read_only_but_for_the_moment_of_a_change() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tried: a file system is mounted only by root");
        return;
    }
    let the_box = TheBox::new();
    let apply = the_box.command(&["box", "apply"]);
    // In a mount namespace of its own; the card is a file system that is read-only, as on the box.
    let script = "mount -t tmpfs -o nosuid,nodev,noexec none \"$0\" && mkdir \"$0/retrowaves\" && \
        printf 'ssid=Home\\npassword=secretsecret\\n' >\"$0/retrowaves/wifi.txt\" && \
        mount -o remount,ro,nosuid,nodev,noexec \"$0\" && ! touch \"$0/x\" 2>/dev/null && \"$@\" && \
        findmnt -n -o OPTIONS \"$0\" && cat \"$0/retrowaves/REPORT.txt\" \"$0/retrowaves/wifi.txt\" \"$0/autoboot.txt\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(the_box.path("card")).arg(apply.get_program());
    command.args(apply.get_args()).env("RETROWAVES_VENDOR_DIR", vendor_dir());
    let (code, out, err) = common::command::said(&command.output().expect("unshare"));
    assert_eq!(code, Some(0), "{out}{err}");
    let options = out.lines().find(|line| line.contains("nosuid")).unwrap_or("");
    assert!(options.starts_with("ro,") && options.contains("noexec") && options.contains("nodev"), "{out}");
    assert!(out.contains("moved into the box") && out.contains("boot_partition=2"), "{out}");
    assert!(!out.contains("secretsecret"), "{out}");
}
