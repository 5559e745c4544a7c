//! The units and what is installed with them, as Debian's own tools judge them: nothing here is started.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::{command::said, material::Folder};

const UNITS: [&str; 2] = ["tower.service", "station.service"];
const BOX_UNITS: [&str; 2] = ["tower.socket", "tower.service.d/port-80.conf"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a tool that `scripts/setup.sh test` has installed; what lies in sbin is found too.
fn tool(words: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(root()).env("PATH", path).env("SYSTEMD_LOG_LEVEL", "notice");
    command.output().unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

/// It ends well and has nothing to say.
fn is_content(words: &[&str]) {
    let (code, out, err) = said(&tool(words));
    assert_eq!((code, format!("{out}{err}").trim()), (Some(0), ""), "{words:?}");
}

/// `make install` into a folder: what it made, by path, with its mode.
fn installed(folder: &Path, prefix: &str) -> BTreeMap<String, u32> {
    let programs = Path::new(env!("CARGO_BIN_EXE_tower")).parent().expect("a folder").display().to_string();
    let words = [format!("DESTDIR={}", folder.display()), format!("PREFIX={prefix}"), format!("PROGRAMS={programs}")];
    let output = tool(&["make", "--no-print-directory", "install", &words[0], &words[1], &words[2]]);
    let (code, out, err) = said(&output);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else {
            let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o7777;
            found.insert(format!("/{}", path.strip_prefix(folder).expect("inside").display()), mode);
        }
    }
    found
}

/// A system folder with the units, the box's too where asked for, and what they refer to.
fn system(folder: &Path, with_box: bool) -> PathBuf {
    installed(folder, "/usr");
    let units = folder.join("usr/lib/systemd/system");
    if with_box {
        for unit in BOX_UNITS {
            let to = units.join(unit);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            fs::copy(root().join("systemd/box").join(unit), to).expect("copied");
        }
    }
    // What ExecReload= calls has to be a program, and which one is not looked at.
    fs::create_dir_all(folder.join("bin")).expect("made");
    fs::copy("/bin/sh", folder.join("bin/kill")).expect("copied");
    // Their own, as the packages of systemd have them.
    for unit in ["sysinit.target", "basic.target", "sockets.target", "multi-user.target", "shutdown.target"] {
        fs::write(units.join(unit), "[Unit]\nDescription=of systemd\nDefaultDependencies=no\n").expect("written");
    }
    units
}

#[test]
fn w4_systemd_finds_nothing_wrong_with_the_units() {
    for with_box in [false, true] {
        let folder = Folder::new();
        let root = folder.join("root");
        system(&root, with_box);
        let root = format!("--root={}", root.display());
        let units: &[&str] = if with_box { &["tower.service", "station.service", "tower.socket"] } else { &UNITS };
        is_content(&[&["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", &root], units].concat());
    }
}

#[test]
fn w4_a_mistake_in_a_unit_is_found_by_the_same_check() {
    let folder = Folder::new();
    let root = folder.join("root");
    let unit = system(&root, false).join("tower.service");
    let text = fs::read_to_string(&unit).expect("there");
    fs::write(&unit, text.replace("WatchdogSec=", "WatchDogSecs=")).expect("written");
    let root = format!("--root={}", root.display());
    let (_, _, err) = said(&tool(&["systemd-analyze", "verify", "--man=no", &root, "tower.service"]));
    assert!(err.contains("WatchDogSecs"), "{err}");
}

/// `systemd-analyze security` of systemd 252 and later, which counts what a service could do beyond its work.
#[test]
fn w4_the_sandboxes_leave_little_open() {
    for (unit, most) in [("tower.service", 1.5), ("station.service", 1.5)] {
        let path = root().join("systemd").join(unit).display().to_string();
        let (code, out, err) = said(&tool(&["systemd-analyze", "security", "--offline=true", "--no-pager", &path]));
        assert_eq!(code, Some(0), "{err}");
        let figure = out.split(&format!("exposure level for {unit}: ")).nth(1).and_then(|rest| rest.split(' ').next());
        let exposure: f64 = figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{out}"));
        println!("{unit}: {exposure}");
        assert!(exposure > 0.0 && exposure <= most, "{unit}: {exposure}, and at most {most} is promised\n{out}");
    }
}

/// The value of a line of a unit; a key that is there twice gives both.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn w4_services_are_started_again_without_limit_and_watched_and_nobody_in_particular() {
    for (unit, rest) in [
        ("tower.service", [("LimitRTPRIO", "60"), ("LimitMEMLOCK", "infinity"), ("CPUWeight", "1000")]),
        ("station.service", [("MemoryMax", "40%"), ("OOMPolicy", "continue"), ("IPAddressDeny", "any")]),
    ] {
        let text = read(&format!("systemd/{unit}"));
        let always = [
            ("Type", "notify"),
            ("Restart", "always"),
            ("StartLimitIntervalSec", "0"),
            ("User", "retrowaves"),
            ("Group", "retrowaves"),
            ("RuntimeDirectory", "retrowaves"),
            // Else the sockets of the one would go with the other.
            ("RuntimeDirectoryPreserve", "yes"),
            ("CapabilityBoundingSet", ""),
            ("ProtectSystem", "strict"),
        ];
        for (key, value) in always.into_iter().chain(rest) {
            assert_eq!(values(&text, key), [value], "{key} in {unit}");
        }
        assert!(!values(&text, "WatchdogSec").is_empty(), "{unit} is not watched");
    }
}

/// Each line, or the group of lines that it stands in, has a reason above it.
#[test]
fn w4_every_line_of_a_unit_has_its_reason() {
    let units = UNITS.map(|unit| format!("systemd/{unit}")).into_iter();
    for unit in units.chain(BOX_UNITS.map(|unit| format!("systemd/box/{unit}"))) {
        let text = read(&unit);
        let mut reasons = 0;
        let mut reason = false;
        for line in text.lines() {
            match line.as_bytes().first() {
                Some(b'#') => {
                    reason = true;
                    reasons += 1;
                }
                None => reason = false,
                // What every unit has.
                _ if line.starts_with('[') || line.starts_with("Description=") => {}
                _ if line.starts_with("Documentation=") || line.starts_with("WantedBy=") => {}
                _ => assert!(reason, "{unit}: nobody says why: {line}"),
            }
        }
        assert!(reasons > 1, "{unit} explains nothing");
    }
}

/// A program may bound its own stop; systemd must not be quicker.
#[test]
fn w4_systemd_waits_for_a_stop_as_long_as_it_may_last() {
    let seconds = |unit: &str| -> u64 {
        let text = read(&format!("systemd/{unit}"));
        values(&text, "TimeoutStopSec")[0].trim_end_matches('s').parse().expect("seconds")
    };
    let most = |schema: &retrowaves::config::Schema, path: &str| -> u64 {
        let key = schema.keys.iter().find(|key| key.path == path).unwrap_or_else(|| panic!("{path}"));
        let allowed = key.kind.allowed();
        allowed.rsplit(' ').next().and_then(|most| most.parse().ok()).unwrap_or_else(|| panic!("{path}: {allowed}"))
    };
    assert!(seconds("tower.service") > most(&retrowaves::config::TOWER, "service.shutdown_timeout_sec"));
    // Sign-off, 3 s of spare, and four times 4 s for everything to end.
    assert!(seconds("station.service") > most(&retrowaves::config::STATION, "playout.sign_off_max_sec") + 19);
}

#[test]
fn w4_make_install_and_the_package_install_the_same_files() {
    let folder = Folder::new();
    let by_make = installed(&folder.join("root"), "/usr");
    let cargo: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let deb = &cargo["package"]["metadata"]["deb"];
    let mut by_package = BTreeMap::new();
    for asset in deb["assets"].as_array().expect("assets") {
        let [from, to, mode] = [0, 1, 2].map(|at| asset[at].as_str().expect("text"));
        assert!(from.starts_with("target/release/") || root().join(from).exists(), "{from}");
        let name = if to.ends_with('/') { from.rsplit('/').next().expect("a name") } else { "" };
        by_package.insert(format!("/{to}{name}"), u32::from_str_radix(mode, 8).expect("a mode"));
    }
    assert_eq!(by_make, by_package);
    // What the owner may change is kept at an upgrade: all that lies in /etc, and nothing else.
    let kept = deb["conf-files"].as_array().expect("a list").iter().filter_map(|file| file.as_str());
    let kept: BTreeSet<&str> = kept.collect();
    let in_etc: BTreeSet<&str> = by_make.keys().map(String::as_str).filter(|path| path.starts_with("/etc/")).collect();
    assert_eq!(kept, in_etc);
}

#[test]
fn w4_make_install_keeps_settings_and_names_its_own_place() {
    let folder = Folder::new();
    let root = folder.join("root");
    let settings = root.join("etc/retrowaves/tower.toml");
    fs::create_dir_all(settings.parent().expect("a folder")).expect("made");
    fs::write(&settings, "# mine\n").expect("written");
    let made = installed(&root, "/usr/local");
    assert_eq!(fs::read_to_string(&settings).expect("kept"), "# mine\n");
    assert!(made.contains_key("/usr/local/bin/station"), "{made:?}");
    let unit = fs::read_to_string(root.join("usr/local/lib/systemd/system/station.service")).expect("installed");
    assert_eq!(values(&unit, "ExecStart"), ["/usr/local/bin/station run"]);
    // And takes everything away again but for the settings.
    let destination = format!("DESTDIR={}", root.display());
    let (code, ..) = said(&tool(&["make", "--no-print-directory", "uninstall", &destination, "PREFIX=/usr/local"]));
    assert_eq!(code, Some(0));
    assert!(settings.exists() && !root.join("usr/local/bin/station").exists());
}

#[test]
fn w4_the_settings_that_are_installed_are_accepted_by_the_programs() {
    for (program, path) in [("tower", env!("CARGO_BIN_EXE_tower")), ("station", env!("CARGO_BIN_EXE_station"))] {
        let file = format!("systemd/etc/{program}.toml");
        let (code, out, err) = said(&tool(&[path, "config", "--check", &file]));
        assert_eq!((code, out.trim()), (Some(0), format!("{file}: ok").as_str()), "{err}");
    }
}

#[test]
fn w4_logrotate_takes_its_file_and_moves_a_full_log() {
    let folder = Folder::new();
    let log = folder.join("tower.log");
    // `su` is for root alone, and the user is not there before the installation.
    let config = read("systemd/retrowaves.logrotate").replace("\tsu retrowaves retrowaves\n", "");
    let config = config.replace("/var/log/retrowaves", &folder.join("").display().to_string());
    let file = folder.join("retrowaves.logrotate");
    fs::write(&file, config).expect("written");
    let state = folder.join("state").display().to_string();
    let file = file.display().to_string();
    let run = || {
        let (code, out, err) = said(&tool(&["logrotate", "--verbose", "--state", &state, &file]));
        assert!(code == Some(0) && !err.contains("error"), "{out}{err}");
    };
    for number in 0..6u8 {
        fs::write(&log, vec![b'0' + number; 5 << 20]).expect("written");
        run();
        assert!(!log.exists(), "a full log was not moved");
    }
    // What is small stays.
    fs::write(&log, "a line\n").expect("written");
    run();
    assert!(log.exists());
    let kept: Vec<bool> = (1..=4).map(|n| folder.join(&format!("tower.log.{n}")).exists()).collect();
    assert_eq!(kept, [true, true, true, false]);
    assert!(fs::read(folder.join("tower.log.1")).expect("there").starts_with(b"555"));
}

#[test]
fn w3_what_is_told_by_mdns_is_where_the_door_is() {
    let settings: toml::Table = read("docs/tower.toml").parse().expect("TOML");
    let port = settings["http"]["port"].as_integer().expect("a port").to_string();
    assert_eq!(values(&read("systemd/retrowaves.dnssd"), "Port"), [port.as_str()]);
    assert!(read("systemd/retrowaves.avahi.service").contains(&format!("<port>{port}</port>")));
    let on_the_box = read("systemd/box/retrowaves.dnssd");
    assert_eq!(values(&on_the_box, "Port"), values(&read("systemd/box/tower.socket"), "ListenStream"));
    for text in [read("systemd/retrowaves.dnssd"), on_the_box] {
        assert_eq!(values(&text, "Type"), ["_http._tcp"]);
    }
    assert!(read("systemd/retrowaves.avahi.service").contains("<type>_http._tcp</type>"));
}

/// The Pi's watchdog counts 15 s at most.
#[test]
fn w4_the_hardware_watchdog_is_within_what_the_hardware_can() {
    let text = read("systemd/box/watchdog.conf");
    for key in ["RuntimeWatchdogSec", "RebootWatchdogSec"] {
        let value = values(&text, key);
        let seconds: u32 = value[0].trim_end_matches('s').parse().expect("seconds");
        assert!((5..=15).contains(&seconds), "{key}={seconds}");
    }
}

#[test]
fn w4_one_rust_version_for_every_build() {
    let cargo: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let version = cargo["package"]["rust-version"].as_str().expect("text");
    assert!(read("scripts/setup.sh").contains(&format!("RUST_MIN={version}\n")), "setup.sh asks for another one");
    assert!(read("README.md").contains(&format!("have {version} or later")), "README.md names another one");
    let cross: toml::Table = read("Cross.toml").parse().expect("TOML");
    assert_eq!(cross["build"]["default-target"].as_str(), Some("aarch64-unknown-linux-gnu"));
    let steps = cross["build"]["pre-build"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step.as_str().is_some_and(|step| step.contains("libasound2-dev:$CROSS_DEB_ARCH"))));
}

/// Each can be run as it lies there, is accepted by its shell, and stops at its first failure.
#[test]
fn w4_scripts_are_in_order() {
    for script in ["postinst", "prerm", "postrm"].map(|name| format!("systemd/debian/{name}")) {
        is_content(&["sh", "-n", &script]);
        assert!(read(&script).contains("\nset -e\n"), "{script} goes on after a failure");
    }
    for script in [
        "board/cross.sh",
        "board/check-programs.sh",
        "board/test-aarch64.sh",
        "scripts/install.sh",
        "scripts/check-deb.sh",
    ] {
        is_content(&["bash", "-n", script]);
        assert!(read(script).contains("\nset -euo pipefail\n"), "{script} goes on after a failure");
        let mode = fs::metadata(root().join(script)).expect("there").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be run");
    }
}
