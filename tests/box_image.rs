//! The card's image and the update bundle, made for real from a small root: every partition is where it is looked for,
//! the command line belongs to the root, and what may not be updated with is refused.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use common::material::Folder;
use retrowaves::appliance::slots::Slot;

const SECTOR: usize = 512;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(name: &str) -> Command {
    let mut command = Command::new(root().join("board").join(name));
    command.current_dir(root());
    command
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}:\n{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Keys, a root of a few files with the box's installed in it, and a boot folder.
struct Workshop(PathBuf);

impl Workshop {
    fn new(folder: PathBuf) -> Self {
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        };
        done(script("keys.sh").arg(folder.join("keys")).arg("--development"));
        write("root/usr/lib/os-release", "NAME=Test\n");
        // Twice 300 kB that do not compress to nothing: the tree of hashes has more than one level.
        let noise: String = (0..60_000u32).map(|i| format!("{:08x}\n", i.wrapping_mul(2_654_435_761))).collect();
        write("root/usr/bin/tower", &noise);
        fs::set_permissions(folder.join("root/usr/bin/tower"), fs::Permissions::from_mode(0o755)).expect("mode");
        write("boot/Image", &noise);
        for name in ["bootcode.bin", "start.elf", "fixup.dat", "overlays/disable-bt.dtbo", "initrd"] {
            write(&format!("boot/{name}"), name);
        }
        let shop = Self(folder);
        shop.install("rpi3", "1.2.3");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn install(&self, board: &str, version: &str) {
        done(script("install-box.sh").arg(self.path("root")).args([board, version]).arg(self.path("keys/keyring.pem")));
    }

    fn make(&self, out: &str, version: &str, keys: &str, more: &[&str]) -> Output {
        let mut command = script("make-image.sh");
        command.args(["--board", "rpi3", "--version", version, "--uncompressed"]);
        for (option, path) in
            [("--root", "root"), ("--boot", "boot"), ("--keyring", "keys/keyring.pem"), ("--out", out)]
        {
            command.arg(option).arg(self.path(path));
        }
        command.arg("--key").arg(self.path(keys).join("signing.key"));
        command.arg("--cert").arg(self.path(keys).join("signing.pem"));
        command.args(more).output().expect("make-image.sh")
    }
}

/// One image for all the tests that only look.
static MADE: LazyLock<Workshop> = LazyLock::new(|| {
    // What is static is never dropped: the next run takes it away.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("box_image");
    let _ = fs::remove_dir_all(&folder);
    let shop = Workshop::new(folder);
    let output = shop.make("out", "1.2.3", "keys", &["--cmdline", "extra=1"]);
    assert!(output.status.success(), "{}", said(&output));
    shop
});

fn image() -> PathBuf {
    MADE.path("out/retrowaves-rpi3-1.2.3.img")
}

/// Number, start and size in bytes, type.
fn partitions() -> Vec<(u32, usize, usize, String)> {
    let dump = done(Command::new("/sbin/sfdisk").arg("--dump").arg(image()));
    assert!(dump.contains("label: dos\n") && dump.contains("label-id: 0x52574156\n"), "{dump}");
    let field = |line: &str, name: &str| {
        let rest = line.split(name).nth(1).unwrap_or_else(|| panic!("{name}: {line}"));
        rest.trim_start().split([',', ' ']).next().expect("value").to_owned()
    };
    let lines = dump.lines().filter(|line| line.contains(" : start="));
    lines
        .map(|line| {
            let number = line.split(" : ").next().and_then(|name| name.chars().last()?.to_digit(10)).expect("number");
            let sectors = |name| field(line, name).parse::<usize>().expect("number") * SECTOR;
            (number, sectors("start="), sectors("size="), field(line, "type="))
        })
        .collect()
}

/// What is in a partition, as a file of its own.
fn partition(number: u32, name: &str) -> PathBuf {
    let (_, start, size, _) = partitions().into_iter().find(|found| found.0 == number).expect("partition");
    let file = MADE.path(name);
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", image().display())).arg(format!("of={}", file.display()));
    done(
        dd.args(["bs=1M", "status=none", "conv=sparse"])
            .arg(format!("skip={}", start >> 20))
            .arg(format!("count={}", size >> 20)),
    );
    file
}

fn read_fat(image: &Path, name: &str) -> String {
    done(Command::new("mtype").arg("-i").arg(image).arg(format!("::{name}")))
}

#[test]
fn w5_every_partition_is_where_it_is_looked_for() {
    let found: Vec<_> = partitions().into_iter().map(|(number, _, size, kind)| (number, size >> 20, kind)).collect();
    let fat = |number| (number, 64, "c".to_owned());
    let linux = |number, size| (number, size, "83".to_owned());
    assert_eq!(found[..3], [fat(1), fat(2), fat(3)]);
    assert_eq!(found[4..], [linux(5, 512), linux(6, 512), linux(7, 64)]);
    assert_eq!((found[3].0, found[3].2.as_str()), (4, "f"));
    // None overlaps another, and the extended one holds those above 4.
    let all = partitions();
    let ends: Vec<usize> = all.iter().map(|(_, start, size, _)| start + size).collect();
    assert!((0..2).all(|i| ends[i] <= all[i + 1].1) && (4..6).all(|i| ends[i] <= all[i + 1].1), "{all:?}");
    assert!(all[3].1 < all[4].1 && ends[6] <= ends[3] && ends[2] <= all[3].1, "{all:?}");
    let owner = partition(1, "p1");
    assert_eq!(read_fat(&owner, "autoboot.txt"), fs::read_to_string(root().join("board/autoboot.txt")).expect("file"));
    assert_eq!(read_fat(&owner, "bootcode.bin"), "bootcode.bin", "the first stage is on the first partition");
    // Slot B waits for its first update: nothing there that could be taken for a system.
    assert!(fs::read(partition(3, "p3")).expect("slot B").iter().all(|byte| *byte == 0));
    let data = done(Command::new("/sbin/dumpe2fs").arg("-h").arg(partition(7, "p7")));
    assert!(
        data.contains("Filesystem volume name:   RW-DATA") && data.contains("Block size:               4096"),
        "{data}"
    );
}

#[test]
fn w2_the_command_line_belongs_to_the_root_that_it_starts() {
    let boot = partition(2, "p2");
    assert_eq!(read_fat(&boot, "start.elf"), "start.elf");
    assert!(read_fat(&boot, "config.txt").ends_with("initramfs initrd followkernel\n"));
    let root_a = partition(5, "p5");
    for (slot, file, partuuid) in [(Slot::A, "cmdline-a.txt", "52574156-05"), (Slot::B, "cmdline-b.txt", "52574156-06")]
    {
        let line = read_fat(&boot, file);
        assert!(line.len() < 1024 && line.lines().count() == 1, "{line}");
        assert_eq!(Slot::of_command_line(&line), Some(slot));
        assert!(line.contains(" root=/dev/dm-0 ") && line.ends_with(" extra=1\n"), "{line}");
        let table =
            line.split("dm-mod.create=\"root,,,ro,0 ").nth(1).and_then(|rest| rest.split('"').next()).expect("table");
        let words: Vec<&str> = table.split(' ').collect();
        let [sectors, "verity", "1", data, hashes, "4096", "4096", blocks, start, "sha256", hash, salt] = words[..]
        else {
            panic!("{table}");
        };
        assert!(data == hashes && data == format!("PARTUUID={partuuid}"), "{table}");
        let blocks_count: u64 = blocks.parse().expect("blocks");
        assert_eq!((sectors.parse(), start), (Ok(blocks_count * 8), blocks));
        // As the kernel does it, with the very words of the command line.
        let verify = |hash: &str| {
            let mut verify = Command::new("/sbin/veritysetup");
            verify.args(["verify", "--no-superblock", "--hash=sha256"]).arg(format!("--salt={salt}"));
            verify.arg(format!("--hash-offset={}", blocks_count * 4096)).arg(format!("--data-blocks={blocks}"));
            verify.arg(&root_a).arg(&root_a).arg(hash).output().expect("veritysetup").status.success()
        };
        assert!(verify(hash));
        let other = hash.replace(&hash[..1], if hash.starts_with('0') { "1" } else { "0" });
        assert!(!verify(&other), "another root hash is believed");
    }
    let listed = done(Command::new("unsquashfs").args(["-l"]).arg(&root_a));
    assert!(listed.contains("squashfs-root/usr/lib/systemd/system/tower.socket"), "{listed}");
}

#[test]
fn w5_a_bundle_says_what_it_is_and_who_signed_it() {
    let bundle = MADE.path("out/retrowaves-rpi3-1.2.3.raucb");
    let info = |keyring: &Path| {
        Command::new("rauc").arg("--keyring").arg(keyring).arg("info").arg(&bundle).output().expect("rauc")
    };
    let known = info(&MADE.path("keys/keyring.pem"));
    assert!(known.status.success(), "{}", said(&known));
    let words = said(&known);
    for word in ["'retrowaves-rpi3'", "'1.2.3'", "'install-check'", "verity", "bootfs", "rootfs"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    done(script("keys.sh").arg(MADE.path("strangers")));
    assert!(!info(&MADE.path("strangers/keyring.pem")).status.success(), "a stranger's bundle is believed");
}

#[test]
fn w5_no_image_is_made_that_could_not_be_updated_or_trusted() {
    let folder = Folder::new();
    let shop = Workshop::new(folder.join("shop"));
    done(script("keys.sh").arg(shop.path("release")));
    // Keys that are there are kept.
    let before = fs::read(shop.path("release/ca.key")).expect("key");
    done(script("keys.sh").arg(shop.path("release")));
    assert_eq!(fs::read(shop.path("release/ca.key")).expect("key"), before);
    assert_eq!(fs::metadata(shop.path("release/ca.key")).expect("key").permissions().mode() & 0o077, 0);
    // Last: keys for releases, and a box that trusts the development keys still.
    for (version, keys, more, words) in [
        ("1.2.4", "keys", &[][..], "IMAGE_VERSION=1.2.3, not 1.2.4"),
        ("1.2.3", "keys", &["--release"], "not signed with a development key"),
        ("1.2.3", "release", &[], "--cert does not fit --keyring"),
    ] {
        let output = shop.make("out", version, keys, more);
        let refusal = said(&output);
        assert!(!output.status.success() && refusal.contains(words), "{words}: {refusal}");
    }
    fs::remove_file(shop.path("boot/start.elf")).expect("remove");
    let output = shop.make("out", "1.2.3", "keys", &[]);
    assert!(said(&output).contains("has no start.elf") && !output.status.success(), "{}", said(&output));
}

#[test]
fn w5_the_bundles_own_check_refuses_what_is_older_or_of_another_board() {
    let folder = Folder::new();
    let check = |compatible: &str, version: &str, running: &str| {
        fs::write(folder.join("os-release"), format!("NAME=x\n{running}\n")).expect("file");
        let mut hook = Command::new("sh");
        hook.arg(root().join("board/bundle-hook.sh")).arg("install-check").env("OS_RELEASE", folder.join("os-release"));
        hook.env("RAUC_SYSTEM_COMPATIBLE", "retrowaves-rpi4").env("RAUC_MF_COMPATIBLE", compatible);
        let output = hook.env("RAUC_MF_VERSION", version).output().expect("sh");
        (output.status.code(), said(&output))
    };
    let version = |new: &str, running: &str| check("retrowaves-rpi4", new, &format!("IMAGE_VERSION=\"{running}\"")).0;
    for (new, running) in [
        ("1.2.3", "1.2.3"),
        ("1.10.0", "1.9.9"),
        ("2.0.0", "1.99.99"),
        ("1.2.0", "1.2.0-rc1"),
        ("1.2.0-rc2", "1.2.0-rc1"),
    ] {
        assert_eq!(version(new, running), Some(0), "{new} over {running}");
    }
    // 10: RAUC takes it for a refusal, with stderr as the reason.
    for (new, running) in [("1.2.2", "1.2.3"), ("1.9.9", "1.10.0"), ("1.99.99", "2.0.0"), ("1.2.0-rc1", "1.2.0")] {
        assert_eq!(version(new, running), Some(10), "{new} over {running}");
    }
    let (status, words) = check("retrowaves-rpi3", "9.9.9", "IMAGE_VERSION=1.0.0");
    assert!(status == Some(10) && words.contains("retrowaves-rpi3") && words.contains("retrowaves-rpi4"), "{words}");
    assert_eq!(check("retrowaves-rpi4", "9.9.9", "VERSION=1").0, Some(10), "a box that does not know itself");
    assert_eq!(check("retrowaves-rpi4", "", "IMAGE_VERSION=1.0.0").0, Some(10), "an update that does not");
}

#[test]
fn w2_the_logs_of_the_last_five_boots_are_kept_and_no_more() {
    let folder = Folder::new();
    let logs = folder.join("");
    // Stands in for journalctl: more than is kept of one boot, and its number last.
    let journal = folder.join("journalctl");
    let save = |boot: u32| {
        fs::write(&journal, format!("#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x\necho \"boot {boot}\"\n"))
            .expect("script");
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o755)).expect("mode");
        done(Command::new("sh").arg(root().join("board/common/save-logs")).arg(&logs).env("JOURNALCTL", &journal));
    };
    (1..=7).for_each(save);
    fs::remove_file(&journal).expect("remove");
    let mut names: Vec<String> = fs::read_dir(&logs)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into())
        .collect();
    names.sort();
    assert_eq!(names, ["boot-1.log", "boot-2.log", "boot-3.log", "boot-4.log", "boot-5.log"]);
    let mut bytes = 0;
    for (name, boot) in names.iter().zip((3..=7).rev()) {
        let text = fs::read_to_string(logs.join(name)).expect("log");
        assert!(text.ends_with(&format!("boot {boot}\n")), "{name}");
        bytes += text.len();
    }
    assert!(bytes <= 20_000_000, "{bytes} bytes");
}
