//! W5: `tower update` with the real RAUC: bundles that it has made and signed, looked at by it. The writing itself needs RAUC's
//! service and a card; it is done for real in the boot tests. Here the command `rauc install` is played, by the calls
//! to the bootloader that RAUC makes.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use common::{command::said, temp_dir, the_box::TheBox};

/// Keys and bundles, made once for all tests of this file.
fn shelf() -> &'static Path {
    static SHELF: OnceLock<PathBuf> = OnceLock::new();
    SHELF.get_or_init(|| {
        let dir = temp_dir();
        for name in ["ours", "strangers"] {
            let subject = format!("/O=Retrowaves/CN=Retrowaves development, not for releases: {name}");
            sh(
                &dir,
                &format!(
                    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -sha256 \
                     -subj '{subject}' -keyout {name}.key -out {name}.pem 2>/dev/null"
                ),
            );
        }
        let rows = [
            ("newer", "ours", "retrowaves-virt", "0.3.0"),
            ("same", "ours", "retrowaves-virt", "0.2.0"),
            ("older", "ours", "retrowaves-virt", "0.1.9"),
            ("candidate", "ours", "retrowaves-virt", "0.2.0-rc.1"),
            ("other-board", "ours", "retrowaves-rpi4", "0.3.0"),
            ("no-version", "ours", "retrowaves-virt", "tomorrow"),
            ("stranger", "strangers", "retrowaves-virt", "0.3.0"),
        ];
        for (name, key, compatible, version) in rows {
            bundle(&dir, name, key, compatible, version);
        }
        let whole = fs::read(dir.join("newer.raucb")).expect("bundle");
        fs::write(dir.join("half.raucb"), &whole[..whole.len() / 2]).expect("half");
        fs::write(dir.join("text.raucb"), "hello").expect("text");
        fs::write(dir.join("empty.raucb"), "").expect("empty");
        dir
    })
}

fn sh(dir: &Path, script: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-euc", script]).current_dir(dir).env("PATH", path).output().expect("sh");
    let (code, out, err) = said(&output);
    assert_eq!(code, Some(0), "{script}: {out}{err}");
}

/// Bytes that no squashfs makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let words = std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

fn bundle(dir: &Path, name: &str, key: &str, compatible: &str, version: &str) {
    let content = dir.join(format!("{name}.d"));
    fs::create_dir(&content).expect("folder");
    fs::write(content.join("root.img"), noise(200_000)).expect("root");
    fs::write(content.join("boot.vfat"), noise(100_000)).expect("boot");
    let manifest = format!(
        "[update]\ncompatible={compatible}\nversion={version}\n\n[bundle]\nformat=verity\n\n\
         [image.bootfs]\nfilename=boot.vfat\n\n[image.rootfs]\nfilename=root.img\n"
    );
    fs::write(content.join("manifest.raucm"), manifest).expect("manifest");
    sh(dir, &format!("rauc --cert {key}.pem --key {key}.key bundle {name}.d {name}.raucb 2>/dev/null >&2"));
}

/// A box whose RAUC is the real one, but for the writing.
fn with_rauc() -> TheBox {
    let the_box = TheBox::new();
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("board/common/rauc-system.conf.in");
    let conf = fs::read_to_string(conf).expect("the configuration of the image");
    let conf = conf
        .replace("@BOARD@", "virt")
        .replace("/etc/rauc/keyring.pem", &shelf().join("ours.pem").display().to_string());
    the_box.write("rauc.conf", conf);
    let places = the_box.command(&["box", "slot"]);
    let words: Vec<String> = places.get_args().skip(2).map(|word| word.to_string_lossy().into_owned()).collect();
    let slot = format!("{} box slot \"$@\" {}", env!("CARGO_BIN_EXE_tower"), words.join(" "));
    let real = sh_which("rauc");
    the_box.stand_in(
        "rauc",
        &format!(
            "slot() {{ {slot}; }}\n\
             [ \"$1\" = install ] || exec {real} \"$@\"\n\
             echo \"$2\" >>{log}\n\
             echo installing; slot set-state B bad || exit 1\n\
             [ ! -e {fails} ] || {{ echo \"LastError: $(cat {fails})\"; exit 1; }}\n\
             [ -s \"$2\" ] || exit 3\n\
             echo ' 80% Updating slots'; slot set-primary B",
            log = the_box.path("installed").display(),
            fails = the_box.path("fails").display(),
        ),
    );
    the_box
}

fn sh_which(program: &str) -> String {
    let output = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh");
    let (code, out, _) = said(&output);
    assert_eq!(code, Some(0), "{program} is missing: scripts/setup.sh test");
    out.trim().to_owned()
}

fn file(name: &str) -> String {
    shelf().join(name).display().to_string()
}

#[test]
fn w5_whatever_is_not_a_newer_signed_update_for_this_board_is_refused_in_words_and_nothing_changes() {
    let the_box = with_rauc();
    the_box.apply();
    let before = (the_box.snapshot("card"), the_box.snapshot("data"));
    let rows = [
        ("stranger.raucb", "its signature is not one that this box trusts"),
        ("older.raucb", "this update is version 0.1.9, and version 0.2.0 runs: only a newer one is taken"),
        ("same.raucb", "only a newer one is taken"),
        ("candidate.raucb", "version 0.2.0-rc.1"),
        ("other-board.raucb", "this update is for retrowaves-rpi4, and this box is retrowaves-virt"),
        ("no-version.raucb", "cannot be compared"),
        ("half.raucb", "half a file, or something else"),
        ("text.raucb", "half a file, or something else"),
        ("empty.raucb", "half a file, or something else"),
        ("nowhere.raucb", "No such file"),
    ];
    for (name, words) in rows {
        let (code, out, err) = the_box.run(&["update", &file(name), "--restart"]);
        assert_eq!(code, Some(1), "{name}: {out}{err}");
        assert!(err.contains(words) && err.lines().count() == 1, "{name}: {err}");
        assert!(!the_box.exists("installed"), "{name}");
        assert!((the_box.snapshot("card"), the_box.snapshot("data")) == before, "{name}: something has changed");
    }
    let (code, _, err) = the_box.run(&["update", &the_box.dir.display().to_string()]);
    assert!(code == Some(1) && err.contains("is no file"), "{err}");
    let (code, _, err) = the_box.run(&["update"]);
    assert!(code == Some(2) && err.contains("FILE or URL"), "{err}");
}

#[test]
fn w5_a_newer_update_is_written_and_put_on_trial_and_a_restart_is_said_or_made() {
    let the_box = with_rauc();
    the_box.stand_in("systemctl", &format!("echo \"$@\" >>{}", the_box.path("systemctl").display()));
    let (code, out, err) = the_box.run(&["update", &file("newer.raucb")]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("80% Updating slots") && out.contains("version 0.3.0 is in slot B"), "{out}");
    assert!(out.contains("tower box restart-into-trial") && !the_box.exists("systemctl"), "{out}");
    assert!(the_box.read("card/autoboot.txt").ends_with("[tryboot]\nboot_partition=3\n"));
    // Once more, as nothing was tried yet; this time with the restart.
    let (code, out, err) = the_box.run(&["update", &file("newer.raucb"), "--restart"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(the_box.read("systemctl"), "reboot --reboot-argument=0 tryboot\n");
}

#[test]
fn w5_no_update_from_a_slot_that_is_on_trial_nor_where_there_is_no_box_or_no_rauc() {
    let the_box = with_rauc();
    let newer = file("newer.raucb");
    the_box.run(&["update", &newer]);
    the_box.running("B");
    the_box.apply();
    let (code, _, err) = the_box.run(&["update", &newer]);
    assert!(code == Some(1) && err.contains("itself on trial"), "{err}");
    assert_eq!(the_box.read("installed").lines().count(), 1);
    the_box.write("cmdline", "root=/dev/sda1\n");
    let (code, _, err) = the_box.run(&["update", &newer]);
    assert!(code == Some(1) && err.contains("this is not the box"), "{err}");
    the_box.running("A");
    let output = the_box.command(&["update", &newer]).env("PATH", the_box.path("nothing")).output().expect("tower");
    let (code, _, err) = said(&output);
    assert!(code == Some(1) && err.contains("RAUC, which writes updates, is missing"), "{err}");
}

#[test]
fn w5_what_fails_while_it_is_written_is_said_and_the_old_slot_starts() {
    let rows = [
        ("Failed updating slot rootfs.1: failed to write: No space left on device", "not enough room"),
        ("Installation error: Bundle rejected: this update is older (0.1.9) than what runs (0.2.0)", "itself refuses"),
        ("Something that nobody knew", "Something that nobody knew"),
    ];
    for (said, words) in rows {
        let the_box = with_rauc();
        the_box.write("fails", said);
        let (code, _, err) = the_box.run(&["update", &file("newer.raucb"), "--restart"]);
        assert!(code == Some(1) && err.contains(words), "{err}");
        let autoboot = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n";
        assert_eq!(the_box.read("card/autoboot.txt"), autoboot);
    }
}

/// A server that gives this answer once.
fn server(head: &str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/newer.raucb", listener.local_addr().expect("address"));
    let head = head.to_owned();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut request = [0; 2048];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
        let _ = stream.write_all(&body);
    });
    url
}

#[test]
fn w5_an_update_over_http_is_fetched_whole_or_not_at_all_and_leaves_nothing_behind() {
    let whole = fs::read(shelf().join("newer.raucb")).expect("bundle");
    let (length, half) = (whole.len(), whole[..whole.len() / 2].to_vec());
    let rows = [
        (format!("200 OK\r\nContent-Length: {length}"), half.clone(), "try again"),
        ("200 OK".to_owned(), half, "half a file, or something else"),
        ("404 Not Found\r\nContent-Length: 0".to_owned(), Vec::new(), "the server says 404"),
        (format!("200 OK\r\nContent-Length: {}", 2u64 << 30), Vec::new(), "larger than any update"),
    ];
    let the_box = with_rauc();
    for (head, body, words) in rows {
        let (code, _, err) = the_box.run(&["update", &server(&head, body)]);
        assert!(code == Some(1) && err.contains(words), "{head}: {err}");
        assert!(!the_box.exists("data/rauc/download.raucb") && !the_box.exists("installed"), "{head}");
    }
    let url = server(&format!("200 OK\r\nContent-Length: {length}"), whole);
    let (code, out, err) = the_box.run(&["update", &url]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("100% fetched") && out.contains("is in slot B"), "{out}");
    assert!(!the_box.exists("data/rauc/download.raucb"));
    let nobody = "http://127.0.0.1:9/newer.raucb";
    let (code, _, err) = the_box.run(&["update", nobody]);
    assert!(code == Some(1) && err.contains("cannot be fetched"), "{err}");
}
