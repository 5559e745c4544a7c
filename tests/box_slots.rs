//! W5: the two slots as RAUC and the firmware see them; the trial, its confirmation, and the way back. And W2: the data
//! partition that grows.

mod common;

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use common::{
    command::said,
    the_box::{TheBox, at_every_cut, findings},
};

/// What the firmware would start: ordinarily, and with tryboot.
fn firmware(the_box: &TheBox) -> (char, char) {
    let text = the_box.read("card/autoboot.txt");
    let (all, tryboot) = text.split_once("[tryboot]").expect("both sections");
    assert!(all.starts_with("[all]\ntryboot_a_b=1\n"), "{text}");
    let slot = |part: &str| match part.trim().rsplit_once("boot_partition=") {
        Some((_, "2")) => 'A',
        Some((_, "3")) => 'B',
        other => panic!("{other:?}: {text}"),
    };
    (slot(all), slot(tryboot))
}

fn slot(the_box: &TheBox, words: &str) -> String {
    let words: Vec<&str> = ["box", "slot"].into_iter().chain(words.split(' ')).collect();
    let (code, out, err) = the_box.run(&words);
    assert_eq!(code, Some(0), "{words:?}: {err}");
    out
}

/// Answers `/healthz` with 200; the answers of these numbers are 503.
fn healthy_tower(sick: &[usize]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let sick = sick.to_vec();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("accepted");
            let _ = stream.read(&mut [0; 2048]);
            let status = if sick.contains(&number) { "503 Service Unavailable" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            let _ = stream.write_all(head.as_bytes());
        }
    });
    url
}

/// What RAUC does with the bootloader while it installs into B.
fn install_into_b(the_box: &TheBox) {
    assert_eq!(slot(the_box, "set-state B bad"), "");
    assert_eq!(firmware(the_box), ('A', 'A'), "a slot that is being written never starts");
    assert_eq!(slot(the_box, "set-primary B"), "");
}

/// What that leaves behind; `tried`: and the start of B.
fn installed_into_b(the_box: &TheBox, tried: bool) {
    the_box.write("card/autoboot.txt", "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n");
    let slots = format!("other = \"B\"\nother_is_good = false\nother_failed = false\ntried = {tried}\n");
    the_box.write("data/rauc/slots.toml", slots);
}

/// systemd's command, which says what it was told.
fn with_systemctl(the_box: &TheBox) {
    the_box.stand_in("systemctl", &format!("printf '%s|' \"$@\" >>{}", the_box.path("systemctl").display()));
}

#[test]
fn w5_rauc_is_answered_as_it_asks_and_only_a_trial_comes_of_an_installation() {
    let the_box = TheBox::new();
    assert_eq!(slot(&the_box, "get-current"), "A\n");
    assert_eq!(slot(&the_box, "get-primary"), "A\n");
    assert_eq!((slot(&the_box, "get-state A"), slot(&the_box, "get-state B")), ("good\n".into(), "bad\n".into()));
    install_into_b(&the_box);
    assert_eq!(firmware(&the_box), ('A', 'B'));
    assert_eq!((slot(&the_box, "get-primary"), slot(&the_box, "get-state B")), ("B\n".into(), "bad\n".into()));
    for words in [["set-state", "A", "bad"], ["set-state", "B", "good"]] {
        let (code, _, err) = the_box.run(&[&["box", "slot"][..], &words].concat());
        assert!(code == Some(1) && !err.is_empty(), "{words:?}");
    }
    assert_eq!(firmware(&the_box), ('A', 'B'));
    for words in [&["get-state", "C"][..], &["set-primary"], &["set-state", "B", "fine"], &["boot"]] {
        let (code, _, err) = the_box.run(&[&["box", "slot"], words].concat());
        assert!(code == Some(2) && err.contains("--help"), "{words:?}: {err}");
    }
    the_box.write("cmdline", "root=/dev/sda1\n");
    let (code, _, err) = the_box.run(&["box", "slot", "get-current"]);
    assert!(code == Some(1) && err.contains("this is not the box"), "{err}");
}

#[test]
fn w5_a_trial_that_is_healthy_is_confirmed_by_a_real_tower() {
    let the_box = TheBox::new();
    with_systemctl(&the_box);
    let (code, _, err) = the_box.run(&["box", "restart-into-trial"]);
    assert!(code == Some(1) && err.contains("no slot is on trial"), "{err}");
    install_into_b(&the_box);
    let (code, _, err) = the_box.run(&["box", "restart-into-trial"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(the_box.read("systemctl"), "reboot|--reboot-argument=0 tryboot|");
    assert!(!the_box.exists("card/retrowaves/.tryboot"), "only the stand-in of the firmware needs it");

    the_box.running("B");
    let report = the_box.apply();
    assert_eq!((report["slot"].as_str(), report["on_trial"].as_bool()), (Some("B"), Some(true)));
    assert_eq!(firmware(&the_box), ('A', 'B'), "a power cut is followed by A");
    let tower = the_box.tower().start();
    let url = format!("http://127.0.0.1:{}", tower.port);
    let (code, out, err) = the_box.run(&["box", "confirm", "--url", &url, "--healthy-sec", "3"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("slot B was healthy for 3 s: it is good"), "{out}");
    tower.stop();
    assert_eq!(firmware(&the_box), ('B', 'B'));
    assert_eq!((slot(&the_box, "get-state A"), slot(&the_box, "get-state B")), ("good\n".into(), "good\n".into()));
    let report = the_box.apply();
    assert_eq!((report["on_trial"].as_bool(), findings(&report, "", "mistake")), (Some(false), String::new()));
    let (code, out, _) = the_box.run(&["box", "confirm"]);
    assert!(code == Some(0) && out.contains("nothing to confirm"), "{out}");
    assert_eq!(
        the_box.read("systemctl").matches("reboot").count(),
        2,
        "it was restarted once: reboot and its argument"
    );
}

#[test]
fn w5_a_trial_that_is_not_healthy_restarts_into_the_old_slot_which_says_so() {
    let the_box = TheBox::new();
    with_systemctl(&the_box);
    install_into_b(&the_box);
    the_box.run(&["box", "restart-into-trial"]);
    fs::remove_file(the_box.path("systemctl")).expect("restarted");
    the_box.running("B");
    the_box.apply();
    // Nobody listens there.
    let confirm = ["box", "confirm", "--url", "http://127.0.0.1:9", "--healthy-sec", "1", "--at-most-sec", "2"];
    let (code, out, err) = the_box.run(&confirm);
    assert!(code == Some(0) && out.contains("the old one comes back"), "{out}{err}");
    assert_eq!(the_box.read("systemctl"), "reboot|");
    assert_eq!(firmware(&the_box), ('A', 'B'));

    the_box.running("A");
    let report = the_box.apply();
    assert!(findings(&report, "", "mistake").contains("the last update (slot B)"), "{report:#}");
    assert_eq!(firmware(&the_box), ('A', 'A'), "a slot that has failed is not tried again");
    assert!(!findings(&the_box.apply(), "", "mistake").is_empty(), "it is said until there is another update");
    install_into_b(&the_box);
    assert_eq!(findings(&the_box.apply(), "", "mistake"), "");
    assert_eq!(firmware(&the_box), ('A', 'B'));
}

#[test]
fn w5_one_answer_that_is_not_healthy_begins_the_minute_anew() {
    let the_box = TheBox::new();
    install_into_b(&the_box);
    the_box.running("B");
    the_box.apply();
    // Looks at 0, 1, 2, 3 and 4 s: healthy since the fourth.
    let (start, url) = (Instant::now(), healthy_tower(&[0, 1, 2]));
    let (code, out, err) = the_box.run(&["box", "confirm", "--url", &url, "--healthy-sec", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(firmware(&the_box), ('B', 'B'));
}

#[test]
fn w5_the_stand_in_for_the_firmware_finds_its_file_only_where_the_kernel_was_told_of_it() {
    let the_box = TheBox::new();
    with_systemctl(&the_box);
    the_box.write("cmdline", "rauc.slot=A retrowaves.standin=1\n");
    install_into_b(&the_box);
    the_box.run(&["box", "restart-into-trial"]);
    assert!(the_box.exists("card/retrowaves/.tryboot"));
}

#[test]
fn w2_w5_power_may_go_at_any_moment_of_a_step_and_a_good_slot_starts() {
    for words in [["set-state", "B", "bad"].as_slice(), &["set-primary", "A"]] {
        let (mut cuts, mut done) = (0, 0);
        at_every_cut(|call, at| {
            let the_box = TheBox::new();
            installed_into_b(&the_box, false);
            if !the_box.cut(&[&["box", "slot"], words].concat(), call, at) {
                return false;
            }
            cuts += 1;
            assert_eq!(firmware(&the_box).0, 'A', "{words:?}, cut at {call} {at}");
            done += u32::from(firmware(&the_box).1 == 'A');
            the_box.apply();
            assert_eq!(slot(&the_box, "get-state A"), "good\n");
            install_into_b(&the_box);
            assert_eq!(firmware(&the_box), ('A', 'B'), "{words:?}, cut at {call} {at}");
            true
        });
        assert!(cuts >= 4 && done > 0 && done < cuts, "{words:?}: {cuts} cuts, {done} after the step was made");
    }
}

#[test]
fn w5_between_the_two_writes_of_a_confirmation_the_new_slot_starts_and_is_good() {
    let the_box = TheBox::new();
    install_into_b(&the_box);
    the_box.running("B");
    the_box.apply();
    let before = the_box.read("data/rauc/slots.toml");
    let url = healthy_tower(&[]);
    let (code, out, err) = the_box.run(&["box", "confirm", "--url", &url, "--healthy-sec", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    // autoboot.txt has been written, slots.toml not yet.
    the_box.write("data/rauc/slots.toml", before);
    the_box.apply();
    assert_eq!(firmware(&the_box), ('B', 'B'));
    assert_eq!((slot(&the_box, "get-state A"), slot(&the_box, "get-state B")), ("good\n".into(), "good\n".into()));
}

#[test]
fn w2_w5_power_may_go_at_any_moment_of_a_confirmation_and_the_slot_that_starts_is_good() {
    let (mut cuts, mut done) = (0, 0);
    at_every_cut(|call, at| {
        let the_box = TheBox::new();
        installed_into_b(&the_box, true);
        the_box.running("B");
        let url = healthy_tower(&[]);
        if !the_box.cut(&["box", "confirm", "--url", &url, "--healthy-sec", "0"], call, at) {
            return false;
        }
        cuts += 1;
        let (starts, _) = firmware(&the_box);
        done += u32::from(starts == 'B');
        the_box.running(&starts.to_string());
        the_box.apply();
        assert_eq!(firmware(&the_box), (starts, starts), "cut at {call} {at}");
        assert_eq!(slot(&the_box, &format!("get-state {starts}")), "good\n", "cut at {call} {at}");
        true
    });
    assert!(cuts >= 4 && done > 0 && done < cuts, "{cuts} cuts, {done} after it was made");
}

#[test]
fn w5_damaged_or_missing_files_are_made_anew_around_what_runs() {
    for (autoboot, slots) in [("", "other = "), ("\0\0\0", ""), ("[all]\nboot_partition=9\n", "a\0b")] {
        let the_box = TheBox::new();
        the_box.running("B");
        the_box.write("card/autoboot.txt", autoboot);
        the_box.write("data/rauc/slots.toml", slots);
        let report = the_box.apply();
        assert_eq!(firmware(&the_box), ('B', 'B'), "{autoboot:?} {slots:?}: {report:#}");
    }
    // What was remembered knows better than what runs: B was on trial when autoboot.txt was lost.
    let the_box = TheBox::new();
    install_into_b(&the_box);
    the_box.running("B");
    fs::remove_file(the_box.path("card/autoboot.txt")).expect("lost");
    assert_eq!(the_box.apply()["on_trial"], true);
    assert_eq!(firmware(&the_box), ('A', 'B'));
}

fn grow(image: &Path) -> (Option<i32>, String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("board/common/grow-data");
    let output: Output = Command::new(script).arg("image").arg(image).output().expect("grow-data");
    said(&output)
}

fn sh(script: &str, image: &Path) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-euc", script]).arg(image).env("PATH", path).output().expect("sh");
    let (code, out, err) = said(&output);
    assert_eq!(code, Some(0), "{script}: {err}");
    out
}

const MAKE_CARD: &str = r#"truncate -s 200M "$0"
printf 'label: dos\nlabel-id: %s\n,8M,c,*\n,8M,c\n,8M,c\n,110M,5\n,16M,83\n,16M,83\n,70M,83\n' "$SIGNATURE" | sfdisk -q "$0"
start=$(sfdisk --dump "$0" | sed -n 's/.*7 : start= *\([0-9]*\).*/\1/p')
mkfs.ext4 -q -F -L RW-DATA -E offset=$((start * 512)) "$0" 64M
truncate -s 400M "$0""#;

fn card(the_box: &TheBox, signature: &str) -> std::path::PathBuf {
    let image = the_box.path("card.img");
    sh(&MAKE_CARD.replace("\"$SIGNATURE\"", signature), &image);
    image
}

/// Sectors of partitions 4 and 7, and of the file system in 7.
fn sizes(image: &Path) -> (u64, u64, u64) {
    let dump = sh("sfdisk --dump \"$0\"", image);
    let field = |number: u32, name: &str| -> u64 {
        let line = dump.lines().find(|line| line.contains(&format!("{number} : "))).expect("partition");
        let rest = line.split_once(name).expect("field").1.trim_start();
        rest.split(',').next().and_then(|word| word.trim().parse().ok()).expect("number")
    };
    // Of the superblock, 1024 bytes into the partition: blocks, and their size as a power of two.
    let mut file = fs::File::open(image).expect("image");
    let mut superblock = [0; 28];
    file.seek(SeekFrom::Start(field(7, "start=") * 512 + 1024)).expect("seek");
    file.read_exact(&mut superblock).expect("superblock");
    let word = |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().expect("four bytes"));
    let sectors = u64::from(word(4)) * (2 << word(24));
    (field(4, "size="), field(7, "size="), sectors)
}

#[test]
fn w2_the_data_partition_grows_to_the_end_of_the_card_once_and_goes_on_after_a_cut() {
    let the_box = TheBox::new();
    let image = card(&the_box, "0x52574156");
    let first = sizes(&image);
    // Cut after the extended partition has grown.
    sh("echo ', +' | sfdisk -q -N 4 \"$0\"", &image);
    let (code, _, err) = grow(&image);
    assert_eq!(code, Some(0), "{err}");
    let (extended, data, files) = sizes(&image);
    assert!(extended > first.0 + 400_000 && data > first.1 + 400_000, "{first:?}: {extended} {data}");
    assert!(files <= data && files > data - 64, "the file system has {files} of {data} sectors");
    let before = fs::metadata(&image).expect("image").modified().expect("time");
    let table = sh("head -c 512 \"$0\" | sha256sum", &image);
    assert_eq!(grow(&image).0, Some(0));
    assert_eq!(sizes(&image), (extended, data, files));
    assert_eq!(sh("head -c 512 \"$0\" | sha256sum", &image), table);
    assert!(fs::metadata(&image).expect("image").modified().expect("time") >= before);

    let stranger = card(&the_box, "0x11111111");
    let untouched = fs::read(&stranger).expect("image");
    let (code, _, err) = grow(&stranger);
    assert!(code == Some(1) && err.contains("not a card of ours"), "{err}");
    assert!(fs::read(&stranger).expect("image") == untouched, "a stranger's disk was written to");
}
