//! The external tree of Buildroot and the board's files, checked without Buildroot: what its Kconfig and its
//! `check-package` would say, and what only we know (that the lists agree). With a Buildroot at hand,
//! `make lint-buildroot` asks Buildroot itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use retrowaves::appliance::slots::{Autoboot, Slot};

const BOARDS: [&str; 4] = ["rpi3", "rpi4", "rpi5", "rpizero2w"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("folder").map(|entry| entry.expect("entry").path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

/// `NAME=value` and `# NAME is not set` (as `n`), quotes taken away; a name that is set twice is a fault.
fn options(path: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text(path).lines() {
        let unset = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set"));
        let (name, value) = match (unset, line.split_once('=')) {
            (Some(name), _) => (name, "n"),
            (None, Some((name, value))) if !line.starts_with('#') => (name, value.trim_matches('"')),
            _ => continue,
        };
        let before = found.insert(name.to_owned(), value.to_owned());
        assert_eq!(before, None, "{path}: {name} is set twice");
    }
    found
}

fn words(list: &str) -> BTreeSet<String> {
    list.split_ascii_whitespace().map(str::to_owned).collect()
}

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error} (scripts/setup.sh test installs it)"));
    (
        output.status.success(),
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat(),
    )
}

#[test]
fn w_the_external_tree_has_the_form_that_buildroot_wants() {
    assert!(text("buildroot/external.desc").starts_with("name: RETROWAVES\ndesc: "));
    let include = "include $(sort $(wildcard $(BR2_EXTERNAL_RETROWAVES_PATH)/package/*/*.mk))\n";
    assert_eq!(text("buildroot/external.mk"), include);
    for line in text("buildroot/Config.in").lines() {
        let path = line.strip_prefix("source \"$BR2_EXTERNAL_RETROWAVES_PATH/").and_then(|rest| rest.strip_suffix('"'));
        let path = path.unwrap_or_else(|| panic!("Config.in: {line}"));
        assert!(root().join("buildroot").join(path).exists(), "Config.in: {path}");
    }
}

#[test]
fn w_every_file_that_is_named_is_there() {
    let mark = "$(BR2_EXTERNAL_RETROWAVES_PATH)/";
    let mut named = 0;
    for file in files("buildroot").iter().filter(|file| file.extension().is_none_or(|ending| ending != "md")) {
        let content = fs::read_to_string(file).expect("text");
        for piece in content.split(mark).skip(1) {
            let path: String = piece.chars().take_while(|c| !c.is_whitespace() && !"\")|\\".contains(*c)).collect();
            // What `make dist` writes, and what a wildcard finds.
            if path == "../target/dist" || path.contains('*') {
                continue;
            }
            named += 1;
            assert!(root().join("buildroot").join(&path).exists(), "{}: {path}", file.display());
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn w_the_package_is_written_as_buildroot_writes_packages() {
    let make = text("buildroot/package/retrowaves/retrowaves.mk");
    let rule = "#".repeat(80);
    assert!(make.starts_with(&format!("{rule}\n#\n# retrowaves\n#\n{rule}\n\n")), "the head");
    assert!(make.ends_with("\n\n$(eval $(cargo-package))\n"), "the end");
    let mut within = false;
    for (number, line) in make.lines().enumerate() {
        let at = format!("retrowaves.mk:{}: {line}", number + 1);
        assert!(line.trim_end() == line && !line.starts_with(' '), "{at}");
        if let Some((name, _)) = line.split_once(" = ").or_else(|| line.split_once(" ?= ")) {
            assert!(within || name.starts_with("RETROWAVES_") || name.starts_with(['\t', '#']), "{at}");
        }
        within = (within || line.starts_with("define ")) && line != "endef";
        assert!(!within || line.starts_with("define RETROWAVES_") || line.starts_with('\t'), "{at}");
    }
    let cargo = text("Cargo.toml");
    let version = cargo.lines().find_map(|line| line.strip_prefix("version = ")).expect("version").trim_matches('"');
    assert!(make.contains(&format!("RETROWAVES_VERSION = {version}\n")), "Cargo.toml says {version}");
}

#[test]
fn w_help_and_hashes_of_the_package_are_right() {
    let config = text("buildroot/package/retrowaves/Config.in");
    let mut help = false;
    for line in config.lines() {
        assert!(line.trim_end() == line, "{line:?}");
        help = line == "\thelp" || (help && (line.starts_with("\t  ") || line.is_empty()));
        if help && line != "\thelp" && !line.is_empty() {
            assert!(line.len() <= 3 + 62, "{line:?} is too wide");
        }
    }
    assert!(config.contains("\thelp\n\t  "));
    for line in text("buildroot/package/retrowaves/retrowaves.hash").lines().filter(|line| !line.starts_with('#')) {
        let [kind, sum, file] = line.split("  ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let said = run("sha256sum", &[file]).1;
        assert!(kind == "sha256" && said.starts_with(sum), "{file}: {said}");
    }
}

#[test]
fn w_boards_share_one_set_of_options_and_name_none_that_is_not_buildroots() {
    let (clean, said) = run("buildroot/defconfigs.sh", &["--check"]);
    assert!(clean, "{said}");
    let known = words(&text("tests/buildroot_tree/symbols"));
    let common = options("buildroot/fragments/common.fragment");
    let mut own = BTreeSet::new();
    for board in BOARDS {
        let config = options(&format!("buildroot/configs/retrowaves_{board}_defconfig"));
        for name in config.keys().filter(|name| *name != "BR2_PACKAGE_RETROWAVES") {
            assert!(known.contains(name), "{board}: {name} is not in tests/buildroot_tree/symbols");
        }
        assert!(common.iter().all(|(name, value)| config.get(name) == Some(value)), "{board} misses a common option");
        assert_eq!(config["BR2_DOWNLOAD_FORCE_CHECK_HASHES"], "y");
        assert_eq!(config["BR2_ROOTFS_POST_SCRIPT_ARGS"], board, "the scripts are told another board");
        assert!(config["BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES"].contains("linux/retrowaves.fragment"));
        // No password, no login without a key.
        assert_eq!(config["BR2_TARGET_ENABLE_ROOT_LOGIN"], "n");
        assert!(own.insert(config.get("BR2_LINUX_KERNEL_INTREE_DTS_NAME").expect("device trees").clone()));
    }
    let found: BTreeSet<_> =
        files("buildroot/fragments").iter().map(|file| file.file_stem().expect("name").to_owned()).collect();
    assert_eq!(found.len(), BOARDS.len() + 1, "{found:?}");
}

#[test]
fn w_kernel_fragments_do_not_contradict_each_other() {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for file in files("buildroot/linux") {
        let name = format!("buildroot/linux/{}", file.file_name().expect("name").to_string_lossy());
        for (option, value) in options(&name) {
            assert!(option.starts_with("CONFIG_") && ["y", "m", "n"].contains(&value.as_str()), "{name}: {option}");
            let before = all.insert(option.clone(), value.clone());
            assert!(before.is_none(), "{name}: {option} is in another fragment too");
        }
    }
    // What the root is found by must be in the kernel: there is no initrd to load it.
    for built_in in ["BLK_DEV_DM", "DM_INIT", "DM_VERITY", "CRYPTO_SHA256", "SQUASHFS", "SQUASHFS_ZSTD", "MMC_BLOCK"] {
        assert_eq!(all[&format!("CONFIG_{built_in}")], "y", "{built_in}");
    }
    assert_eq!(all["CONFIG_BCM2835_WDT"], "y");
    // With it no service would get SCHED_FIFO.
    assert_eq!(all["CONFIG_RT_GROUP_SCHED"], "n");
    // It depends on EXPERT, and would be dropped without a word.
    assert_eq!((all["CONFIG_PREEMPT_RT"].as_str(), all["CONFIG_EXPERT"].as_str()), ("y", "y"));
}

/// What the firmware makes of a board's config.txt, read from a boot partition.
fn firmware_reads(board: &str, partition: u32) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut counts = true;
    for line in (text(&format!("board/{board}/config.txt")) + &text("board/config.txt")).lines() {
        assert!(line.len() <= 98, "the firmware cuts this line: {line}");
        if let Some(filter) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            counts = match filter.strip_prefix("boot_partition=") {
                Some(number) => number == partition.to_string(),
                None => {
                    assert_eq!(filter, "all", "this test does not know the filter [{filter}]");
                    true
                }
            };
        } else if let (true, Some((key, value))) = (counts && !line.starts_with('#'), line.split_once('=')) {
            assert!(!key.contains(' ') && !value.starts_with(' '), "{line}");
            found.insert(if key.starts_with("dt") { line.to_owned() } else { key.to_owned() }, value.to_owned());
        }
    }
    found
}

#[test]
fn w5_the_firmware_finds_each_slot_and_its_command_line() {
    let autoboot = text("board/autoboot.txt");
    assert!(autoboot.len() <= 512, "the firmware reads 512 bytes");
    let fresh = Autoboot { all: Slot::A, tryboot: Slot::A };
    assert_eq!(Autoboot::parse(&autoboot), Some(fresh));
    assert_eq!(autoboot, fresh.text(), "a new card is as `tower box` would write it");
    for board in BOARDS.into_iter().chain(["virt"]) {
        for (slot, file) in [(Slot::A, "cmdline-a.txt"), (Slot::B, "cmdline-b.txt")] {
            let read = firmware_reads(board, slot.boot_partition());
            assert_eq!(read["cmdline"], file, "{board}");
            assert_eq!((read["kernel"].as_str(), read["arm_64bit"].as_str()), ("Image", "1"), "{board}");
            assert_eq!(read["dtparam=watchdog=on"], "watchdog=on");
        }
        // Anything but these two: a command line that is not there, so that no root of another slot is started.
        assert_eq!(firmware_reads(board, 1)["cmdline"], "cmdline-none.txt");
        let conf = options(&format!("board/{board}/board.conf"));
        let keys: Vec<&str> = conf.keys().map(String::as_str).collect();
        assert_eq!(keys, ["BOARD_NAME", "CONSOLE", "FIRMWARE", "FIRST_STAGE"], "{board}");
        let firmware = words(&conf["FIRMWARE"]);
        let read = firmware_reads(board, 2);
        for key in ["start_file", "fixup_file"] {
            assert!(firmware.is_empty() || firmware.contains(&read[key]), "{board}: {key}");
        }
    }
}

#[test]
fn w_the_kernels_command_line_says_what_it_must() {
    let line = text("board/cmdline.txt");
    assert_eq!(line.lines().count(), 1, "the firmware reads one line");
    let words = words(&line);
    // Without the memory controller MemoryMax= bounds nothing; a kernel that panics restarts by itself.
    for word in ["ro", "rootfstype=squashfs", "cgroup_enable=memory", "panic=10"] {
        assert!(words.contains(word), "{word}");
    }
    let taken = words.iter().find(|word| ["root=", "rauc.slot=", "dm-mod."].iter().any(|own| word.starts_with(own)));
    assert_eq!(taken, None, "that is for board/make-image.sh to say");
}

#[test]
fn w_every_script_is_executable_and_shellcheck_finds_nothing() {
    let mut scripts = Vec::new();
    for file in ["board", "buildroot", "scripts"].into_iter().flat_map(files) {
        if fs::read(&file).expect("file").starts_with(b"#!") {
            let mode = fs::metadata(&file).expect("metadata").permissions().mode();
            assert!(mode & 0o111 != 0, "{} is not executable", file.display());
            scripts.push(file.to_string_lossy().into_owned());
        }
    }
    assert!(scripts.len() > 10, "{scripts:?}");
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    // What it would only suggest is left to taste; a warning is not.
    let (clean, said) = run("shellcheck", &[&["--external-sources", "--severity=warning"], &scripts[..]].concat());
    assert!(clean, "{said}");
}

#[test]
fn w_ffmpeg_can_what_encoder_and_decoder_ask_and_buildroot_is_told_the_same() {
    let list = options("board/ffmpeg-options");
    let common = options("buildroot/fragments/common.fragment");
    for (key, names) in &list {
        assert_eq!(common.get(&format!("BR2_PACKAGE_FFMPEG_{key}")), Some(names), "{key}: the two lists differ");
    }
    assert_eq!(list.len(), 8, "{list:?}");
    let has = |key: &str, name: &str| assert!(words(&list[key]).contains(name), "{key} lacks {name}");
    // The encoder's command in full, as its own test has it; the decoder's from its source.
    let encoder = text("src/encoder/command.rs").replace("\\\n", "");
    let encoder =
        encoder.split("\"ffmpeg -nostdin").nth(1).and_then(|rest| rest.split('"').next()).expect("command").to_owned();
    let decoder = text("src/decoder/command.rs");
    let after = |text: &str, word: &str| {
        let after: Vec<String> = text
            .split(word)
            .skip(1)
            .map(|rest| rest.trim_start().split([' ', '=']).next().expect("word").to_owned())
            .collect();
        assert!(!after.is_empty(), "{word} is not in: {text}");
        after
    };
    assert_eq!(after(&encoder, " -f "), ["s16le", "mp3"]);
    has("DEMUXERS", "pcm_s16le");
    has("DECODERS", "pcm_s16le");
    has("MUXERS", "mp3");
    after(&encoder, " -af ").iter().for_each(|filter| has("FILTERS", filter));
    after(&encoder, " -c:a ").iter().for_each(|codec| has("ENCODERS", codec));
    after(&encoder, "pipe:").iter().for_each(|_| has("PROTOCOLS", "pipe"));
    let filter = decoder.split("r\"").nth(1).and_then(|rest| rest.split('=').next()).expect("the decoder's filter");
    has("FILTERS", filter);
    assert!(decoder.contains("\"-f\", \"s16le\"") && decoder.contains("\"file:\""));
    has("MUXERS", "pcm_s16le");
    has("ENCODERS", "pcm_s16le");
    has("PROTOCOLS", "file");
    // Put in by ffmpeg itself: for -ar and -ac, for -ss, and for a filter that is none.
    ["aresample", "aformat", "atrim", "anull"].into_iter().for_each(|filter| has("FILTERS", filter));
}

/// Which demuxer reads files of an ending, and one codec that is usual in them.
const ENDINGS: [(&str, &str, &str); 37] = [
    ("3gp", "mov", "amrnb"),
    ("aac", "aac", "aac"),
    ("ac3", "ac3", "ac3"),
    ("aif", "aiff", "pcm_s16be"),
    ("aifc", "aiff", "pcm_s16be"),
    ("aiff", "aiff", "pcm_s16be"),
    ("alac", "mov", "alac"),
    ("amr", "amr", "amrwb"),
    ("ape", "ape", "ape"),
    ("au", "au", "pcm_mulaw"),
    ("caf", "caf", "alac"),
    ("dff", "iff", "dsd_msbf"),
    ("dsf", "dsf", "dsd_lsbf_planar"),
    ("eac3", "eac3", "eac3"),
    ("flac", "flac", "flac"),
    ("m4a", "mov", "aac"),
    ("m4b", "mov", "aac"),
    ("mka", "matroska", "vorbis"),
    ("mov", "mov", "aac"),
    ("mp+", "mpc", "mpc7"),
    ("mp1", "mp3", "mp1float"),
    ("mp2", "mp3", "mp2float"),
    ("mp3", "mp3", "mp3float"),
    ("mp4", "mov", "aac"),
    ("mpc", "mpc8", "mpc8"),
    ("mpga", "mp3", "mp3float"),
    ("oga", "ogg", "vorbis"),
    ("ogg", "ogg", "vorbis"),
    ("opus", "ogg", "opus"),
    ("ra", "rm", "cook"),
    ("spx", "ogg", "speex"),
    ("tta", "tta", "tta"),
    ("wav", "wav", "pcm_s16le"),
    ("wave", "wav", "pcm_s16le"),
    ("webm", "matroska", "opus"),
    ("wma", "asf", "wmav2"),
    ("wv", "wv", "wavpack"),
];

#[test]
fn w_ffmpeg_reads_every_ending_that_the_library_takes() {
    let list = options("board/ffmpeg-options");
    let names = text("src/station/library/names.rs");
    let taken = names.split("const AUDIO").nth(1).and_then(|rest| rest.split("];").next()).expect("the endings");
    let taken: BTreeSet<&str> = taken.split('"').skip(1).step_by(2).collect();
    assert_eq!(taken, ENDINGS.iter().map(|(ending, ..)| *ending).collect());
    for (ending, demuxer, decoder) in ENDINGS {
        assert!(words(&list["DEMUXERS"]).contains(demuxer), ".{ending}: no demuxer {demuxer}");
        assert!(words(&list["DECODERS"]).contains(decoder), ".{ending}: no decoder {decoder}");
    }
}
