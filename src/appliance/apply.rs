//! `tower box apply`: reads the owner's folder, does what the plan says, and reports.
//!
//! Runs as root, once a start, before tower and station. Each file is written as a
//! whole, and in an order in which power may go between any two of them: what is to be
//! moved off the card is in the box before it leaves the card; a `RESET` goes last.
//! A mistake of the owner's never makes it fail; nor does a part of the disk that
//! cannot be written, which is one more finding.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    BoxPlaces, card,
    owner::{
        folder::{Folder, NAMES},
        plan::{Knows, Plan, Reset, SecretsPlan, SshPlan, WifiPlan, plan},
    },
    report::{Finding, Kind, Report},
    slots::{Event, SlotError, SlotStore},
};
use crate::{
    atomic_file,
    config::{self, StationConfig, TowerConfig},
};

/// Folders of the data partition that only root may look into.
const PRIVATE_FOLDERS: [&str; 3] = ["owner", "wifi", "ssh"];
/// What a reset empties, beside the music.
const RESET_FOLDERS: [&str; 5] = ["state", "logs", "owner", "wifi", "ssh"];
/// Addresses with their passwords, a line each.
const SECRETS: &str = "owner/secrets";
const OWNER_NAMES: [&str; 3] = ["tower.toml", "station.toml", "hostname.txt"];

/// Does all of it; the report has been written where it can be.
///
/// # Errors
/// When nothing can be put where tower and station look for it.
pub fn apply(places: &BoxPlaces) -> io::Result<Report> {
    fs::create_dir_all(&places.run)?;
    let mut findings = Vec::new();
    let (slot, on_trial) = start_of_slot(places, &mut findings);
    for folder in PRIVATE_FOLDERS {
        if let Err(error) = private_folder(&places.data.join(folder)) {
            findings.push(failed(None, &format!("the data partition's folder {folder} cannot be made"), &error));
        }
    }
    let (folder, card_is_there) = read_folder(places, &mut findings);
    let mut plan = decide(places, &folder);
    if !card_is_there {
        plan.ssh = None;
    }
    findings.append(&mut plan.findings);
    perform(places, &folder, &plan, card_is_there, &mut findings);
    let report = Report { version: places.version(), slot, on_trial, findings };
    publish(places, report, card_is_there)
}

/// Tells the slots that the box has started; says which one runs, and whether on trial.
fn start_of_slot(places: &BoxPlaces, findings: &mut Vec<Finding>) -> (Option<String>, bool) {
    let mut store = match SlotStore::open(places) {
        Ok(store) => store,
        // Somebody's computer, or a container: there is nothing to say about slots.
        Err(SlotError::NotTheBox) => return (None, false),
        Err(error) => {
            findings.push(Finding::of_the_box(Kind::Mistake, format!("the slots are not known: {error}")));
            return (SlotStore::which_runs(places).map(|slot| slot.to_string()), false);
        }
    };
    let running = store.running();
    if let Err(error) = store.step(Event::Booted) {
        findings.push(Finding::of_the_box(Kind::Mistake, format!("the slots cannot be remembered: {error}")));
    }
    let slots = store.slots();
    if slots.other_failed && running == slots.good {
        let what = format!(
            "the last update (slot {}) did not show for a minute that it was healthy, or lost its power before; version {} \
             is back. Nothing is lost; the update may be tried again.",
            running.other(),
            places.version()
        );
        findings.push(Finding::of_the_box(Kind::Mistake, what));
    }
    (Some(running.to_string()), slots.is_trial_of(running))
}

/// The owner's folder; when the card cannot be read, what was good at an earlier start.
fn read_folder(places: &BoxPlaces, findings: &mut Vec<Finding>) -> (Folder, bool) {
    let error = match Folder::read(&places.owner()) {
        Ok(folder) => return (folder, true),
        Err(error) => error,
    };
    let card_is_there = places.card_is_there();
    if card_is_there {
        let what =
            format!("the folder retrowaves on the card cannot be read ({error}): the settings of the image are used");
        findings.push(Finding::of_the_box(Kind::Note, what));
        return (Folder::default(), true);
    }
    let what =
        format!("the card's first partition cannot be read ({error}): the last settings that were good are used");
    findings.push(Finding::of_the_box(Kind::Mistake, what));
    (Folder::read(&places.data.join("owner")).unwrap_or_default(), false)
}

fn decide(places: &BoxPlaces, folder: &Folder) -> Plan {
    let named = |name: &str| PathBuf::from(name);
    let secrets = atomic_file::read(&places.data.join(SECRETS), 64 << 10).unwrap_or_default();
    let secrets: Vec<String> = String::from_utf8_lossy(&secrets).lines().map(str::to_owned).collect();
    plan(
        folder,
        &Knows {
            check_tower: &|text| {
                let checked = config::check_text::<TowerConfig>(named("tower.toml"), text.to_owned());
                checked.map(drop).map_err(|errors| errors.to_string())
            },
            check_station: &|text| {
                let checked = config::check_text::<StationConfig>(named("station.toml"), text.to_owned());
                checked.map(drop).map_err(|errors| errors.to_string())
            },
            is_kept: &|name| places.data.join("wifi").join(name).exists(),
            secrets: &secrets,
        },
    )
}

fn perform(places: &BoxPlaces, folder: &Folder, plan: &Plan, card_is_there: bool, findings: &mut Vec<Finding>) {
    let mut note = |file: Option<&str>, what: &str, done: io::Result<()>| {
        findings.extend(done.err().map(|error| failed(file, what, &error)));
    };
    for (name, text) in [("tower.toml", &plan.tower), ("station.toml", &plan.station)] {
        note(Some(name), "cannot be given to the program", put(&places.run.join(name), text.as_deref()));
    }
    if let Some(reset) = plan.reset {
        note(
            Some("RESET"),
            "not everything could be erased; it is tried again at the next start",
            erase(places, folder, reset),
        );
    }
    if let (Some(secrets), true) = (&plan.secrets, card_is_there) {
        note(Some("tower.toml"), "its password cannot be moved into the box", keep_secrets(places, folder, secrets));
    }
    if card_is_there && plan.reset.is_none() {
        for (name, text) in OWNER_NAMES.into_iter().zip([&plan.tower, &plan.station, &plan.hostname]) {
            note(Some(name), "cannot be kept in the box", put(&places.data.join("owner").join(name), text.as_deref()));
        }
    }
    if let Some(name) = &plan.hostname {
        note(Some("hostname.txt"), "the name cannot be set", fs::write(&places.hostname, name));
    }
    if let Some(wifi) = &plan.wifi {
        note(Some("wifi.txt"), "cannot be moved into the box", keep_network(places, folder, wifi, card_is_there));
    }
    let country = plan.wifi.as_ref().and_then(|wifi| wifi.country.as_deref());
    note(Some("wifi.txt"), "the country cannot be set", set_country(places, country));
    if let Some(ssh) = &plan.ssh {
        note(Some("authorized_keys"), "cannot be moved into the box", keep_keys(places, folder, ssh));
    }
}

/// Makes the file hold `text`; none: makes it go.
fn put(path: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    if atomic_file::holds(path, text.as_bytes()) {
        return Ok(());
    }
    atomic_file::write(path, text.as_bytes())
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The data partition first, then the owner's files, `RESET` last: a cut in between begins anew.
fn erase(places: &BoxPlaces, folder: &Folder, reset: Reset) -> io::Result<()> {
    let music = (reset == Reset::Everything).then_some("music");
    for name in RESET_FOLDERS.into_iter().chain(music) {
        empty(&places.data.join(name))?;
    }
    for name in folder.real_names.iter().flatten().filter(|name| !name.eq_ignore_ascii_case("RESET")) {
        let path = places.owner().join(name);
        if !path.is_dir() {
            card::remove(&path)?;
        }
    }
    let reset = folder.real_names.last().and_then(Option::as_deref).unwrap_or("RESET");
    card::remove(&places.owner().join(reset))
}

/// The folder itself stays: others may be mounted on it.
fn empty(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    fs::File::open(folder)?.sync_all()
}

/// In the box first, then off the card.
fn keep_secrets(places: &BoxPlaces, folder: &Folder, secrets: &SecretsPlan) -> io::Result<()> {
    let text = secrets.keep.iter().fold(String::new(), |all, line| all + line + "\n");
    let kept = places.data.join(SECRETS);
    if !atomic_file::holds(&kept, text.as_bytes()) && (kept.exists() || !text.is_empty()) {
        atomic_file::write_private(&kept, text.as_bytes())?;
    }
    match (&secrets.rewritten, real_name(folder, "tower.toml")) {
        (Some(text), Some(name)) => {
            card::replace_secret(&places.owner().join(name), text.replace('\n', "\r\n").as_bytes())
        }
        _ => Ok(()),
    }
}

/// In the box first, then off the card. Networks of before go: the owner names one.
fn keep_network(places: &BoxPlaces, folder: &Folder, wifi: &WifiPlan, card_is_there: bool) -> io::Result<()> {
    let kept = places.data.join("wifi");
    if let Some((name, content)) = &wifi.write {
        atomic_file::write_private(&kept.join(name), content.as_bytes())?;
    }
    for entry in fs::read_dir(&kept)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_network = [".psk", ".open", ".new"].iter().any(|ending| name.ends_with(ending));
        let wanted =
            wifi.write.as_ref().map_or_else(|| wifi.file_names.contains(&name), |(written, _)| *written == name);
        if is_network && !wanted {
            fs::remove_file(entry.path())?;
        }
    }
    match (&wifi.rewritten, real_name(folder, "wifi.txt")) {
        (Some(text), Some(name)) if card_is_there => card::replace_secret(&places.owner().join(name), text.as_bytes()),
        _ => Ok(()),
    }
}

/// iwd reads it at its start, which is after ours.
fn set_country(places: &BoxPlaces, country: Option<&str>) -> io::Result<()> {
    let folder = places.run.join("iwd");
    fs::create_dir_all(&folder)?;
    let kept = places.data.join("owner/wifi-country");
    let country = match country {
        Some(country) => {
            put(&kept, Some(country))?;
            Some(country.to_owned())
        }
        None => fs::read_to_string(&kept).ok(),
    };
    let line = country.map(|country| format!("Country={}\n", country.trim())).unwrap_or_default();
    put(&folder.join("main.conf"), Some(&format!("[General]\n{line}")))
}

fn keep_keys(places: &BoxPlaces, folder: &Folder, ssh: &SshPlan) -> io::Result<()> {
    let kept = places.data.join("ssh");
    let text = ssh.lines.iter().fold(String::new(), |all, line| all + line + "\n");
    put(&kept.join("authorized_keys"), Some(&text).filter(|text| !text.is_empty()).map(String::as_str))?;
    match (&ssh.moved, real_name(folder, "authorized_keys")) {
        (Some((bytes, instead)), Some(name)) => {
            atomic_file::write_private(&kept.join("private-key-of-the-owner"), bytes)?;
            card::replace_secret(&places.owner().join(name), instead.as_bytes())
        }
        _ => Ok(()),
    }
}

fn real_name<'a>(folder: &'a Folder, name: &str) -> Option<&'a str> {
    let which = NAMES.iter().position(|known| *known == name)?;
    folder.real_names[which].as_deref()
}

fn failed(file: Option<&str>, what: &str, error: &io::Error) -> Finding {
    Finding { file: file.map(str::to_owned), kind: Kind::Mistake, text: format!("{what}: {error}") }
}

/// For `/status`, and on the card in words.
fn publish(places: &BoxPlaces, mut report: Report, card_is_there: bool) -> io::Result<Report> {
    if card_is_there {
        let written = fs::metadata(places.owner())
            .or_else(|_| {
                card::writable(&places.card, || fs::create_dir(places.owner()))
                    .and_then(|()| fs::metadata(places.owner()))
            })
            .and_then(|_| card::write_if_different(&places.owner().join("REPORT.txt"), report.words().as_bytes()));
        if let Err(error) = written {
            report.findings.push(failed(Some("REPORT.txt"), "cannot be written", &error));
        }
    }
    atomic_file::write(&places.run.join("report.json"), &serde_json::to_vec_pretty(&report)?)?;
    Ok(report)
}
