//! A sound card for tests, where there is no driver: `tests/alsa/card.c`, a plug-in of ALSA's own
//! library, steered from here through a file that both map.
//!
//! ```ignore
//! let card = TestCard::builder().formats(&[SampleFormat::S16Le]).rates(&[48_000]).channels(&[2]).plug("plugged").make();
//! let tower = Setup::default().env(CONFIG_VARIABLE, card.config()).set("live.device=\"testcard\"").start();
//! card.set_tone([1000.0, 440.0], [0.5, 0.25]);
//! card.unplug();
//! ```
//!
//! A process sees the card when `ALSA_CONFIG_PATH` names the card's configuration, which replaces
//! that of the system; a test that opens it by itself wraps its body in [`in_own_process`].
//!
//! What it does as a card of the kernel does: it negotiates only what it has, delivers in real time
//! by a crystal of its own and in bunches of a millisecond, wakes `poll` at the ends of periods, has one reader at a time (EBUSY),
//! overruns when the reader is late (EPIPE), and is gone for good when it is unplugged (ENODEV).
//!
//! What it does otherwise:
//! - Nothing happens while nobody calls ALSA: a new tone, rate error or stall counts from the next
//!   wake of the reader on (within a period). [`TestCard::unplug`], [`TestCard::xrun`] and the end
//!   of a stall wake it at once; that may wake a `poll` whose `revents` are then empty.
//! - `avail` of an unplugged card still counts what was there (of a real one it is ENODEV);
//!   reading, `prepare` and `start` give ENODEV, `poll` POLLERR.

use std::{
    fs::{self, File, FileTimes},
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::SystemTime,
};

use nix::{
    sys::{
        mman::{MapFlags, ProtFlags, mmap, munmap},
        stat::Mode,
    },
    unistd::mkfifo,
};
use retrowaves::input::live::convert::SampleFormat;

use super::temp_dir;

/// Where ALSA's library looks for its configuration, instead of the system's.
pub const CONFIG_VARIABLE: &str = "ALSA_CONFIG_PATH";
/// The card's PCM.
pub const PCM: &str = "testcard";
/// How long a marker is: a sine of 1 kHz at full scale on all channels.
pub const MARK_MS: u64 = 20;
/// Tells a process of [`in_own_process`] where its card is.
const FOLDER_VARIABLE: &str = "RETROWAVES_TEST_CARD";
const SOURCE: &str = include_str!("../alsa/card.c");

/// `struct control` of `card.c`: 8 bytes each, in this order.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
enum Field {
    Unplugged,
    Unplugs,
    Stall,
    StallKeeps,
    Xruns,
    XrunLossMs,
    Ppm,
    HzLeft,
    HzRight,
    AmplitudeLeft,
    AmplitudeRight,
    MarkAtNs,
    Opens,
    Running,
    FramesProduced,
    FramesDelivered,
    Overruns,
}

const FIELDS: usize = Field::Overruns as usize + 1;
const CONTROL_BYTES: NonZeroUsize = NonZeroUsize::new(FIELDS * 8).expect("fields");

/// What was recorded while nothing arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStall {
    /// Lost, as when the card itself stood still.
    Lost,
    /// Comes at once, as when its bus did; more than the buffer holds is an overrun.
    Kept,
}

/// The hardware of a card to be made. As it is: 16 bits, 48 kHz, stereo.
pub struct Builder {
    formats: Vec<SampleFormat>,
    rates: Vec<u32>,
    channels: Vec<u32>,
    buffer_bytes_max: Option<u32>,
    fifos: Vec<String>,
    others: String,
}

impl Builder {
    pub fn formats(mut self, formats: &[SampleFormat]) -> Self {
        self.formats = formats.to_vec();
        self
    }

    pub fn rates(mut self, rates_hz: &[u32]) -> Self {
        self.rates = rates_hz.to_vec();
        self
    }

    /// Channel 0 is left, 1 right; channel n beyond is a quiet tone of n × 500 Hz.
    pub fn channels(mut self, counts: &[u32]) -> Self {
        self.channels = counts.to_vec();
        self
    }

    pub fn buffer_bytes_max(mut self, bytes: u32) -> Self {
        self.buffer_bytes_max = Some(bytes);
        self
    }

    /// Another PCM, `name`: the card, converted to whatever is asked for.
    pub fn plug(self, name: &str) -> Self {
        self.other(&format!("pcm.{name} {{ type plug slave.pcm \"{PCM}\" }}"))
    }

    /// Another PCM, `name`: the card at `rate_hz`, converted to the rate that is asked for.
    pub fn rate(self, name: &str, rate_hz: u32) -> Self {
        self.other(&format!("pcm.{name} {{ type rate slave {{ pcm \"{PCM}\" rate {rate_hz} }} }}"))
    }

    /// Another PCM, `name`: what is written into the FIFO [`TestCard::fifo`], at the writer's pace,
    /// in any format. To open it waits for a writer.
    pub fn piped(mut self, name: &str) -> Self {
        self.fifos.push(name.to_owned());
        self
    }

    /// Anything else that ALSA shall know: lines of an `asound.conf`. `null` is there already.
    pub fn other(mut self, lines: &str) -> Self {
        self.others += lines;
        self.others.push('\n');
        self
    }

    /// Plugged in and silent, in a temporary folder of its own.
    pub fn make(self) -> TestCard {
        let folder = temp_dir();
        for name in &self.fifos {
            mkfifo(&fifo_in(&folder, name), Mode::S_IRWXU).expect("a FIFO");
        }
        fs::write(folder.join("asound.conf"), self.config(&folder)).expect("asound.conf");
        let control = File::create(control_in(&folder)).expect("the control file");
        control.set_len(CONTROL_BYTES.get() as u64).expect("its length");
        TestCard { control: Control::of(&folder), folder, made_here: true }
    }

    fn config(&self, folder: &Path) -> String {
        let formats: Vec<&str> = self.formats.iter().map(|format| format.name()).collect();
        let buffer = self.buffer_bytes_max.map(|bytes| format!("buffer_bytes_max {bytes}")).unwrap_or_default();
        let piped: String = self.fifos.iter().map(|name| piped_config(&fifo_in(folder, name), name)).collect();
        format!(
            "pcm_type.retrocard {{ lib \"{}\" }}\n\
             pcm.null {{ type null }}\n\
             pcm.{PCM} {{\n type retrocard\n control \"{}\"\n formats [ {} ]\n rates [ {} ]\n channels [ {} ]\n {buffer}\n}}\n\
             {}{piped}",
            plugin().display(),
            control_in(folder).display(),
            formats.join(" "),
            words(&self.rates),
            words(&self.channels),
            self.others,
        )
    }
}

fn words(numbers: &[u32]) -> String {
    numbers.iter().map(|number| format!("{number} ")).collect()
}

fn piped_config(fifo: &Path, name: &str) -> String {
    let fifo = fifo.display();
    format!("pcm.{name} {{ type file slave.pcm \"null\" file \"/dev/null\" infile \"{fifo}\" format \"raw\" }}\n")
}

fn control_in(folder: &Path) -> PathBuf {
    folder.join("card.control")
}

fn fifo_in(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.fifo"))
}

/// A card that is there while this lives, plugged in or not.
pub struct TestCard {
    control: Control,
    folder: PathBuf,
    made_here: bool,
}

impl TestCard {
    pub fn builder() -> Builder {
        Builder {
            formats: vec![SampleFormat::S16Le],
            rates: vec![48_000],
            channels: vec![2],
            buffer_bytes_max: None,
            fifos: Vec::new(),
            others: String::new(),
        }
    }

    /// For [`CONFIG_VARIABLE`] of a process that shall see it.
    pub fn config(&self) -> String {
        self.folder.join("asound.conf").display().to_string()
    }

    /// What the PCM of [`Builder::piped`] reads.
    pub fn fifo(&self, name: &str) -> PathBuf {
        fifo_in(&self.folder, name)
    }

    /// Pulls the cable: whoever reads it gets ENODEV, and so does whoever opens it.
    pub fn unplug(&self) {
        self.control.set(Field::Unplugged, 1);
        self.control.add(Field::Unplugs, 1);
        self.wake();
    }

    /// It can be opened again. A stream that was open before stays dead.
    pub fn plug(&self) {
        self.control.set(Field::Unplugged, 0);
    }

    /// From the reader's next wake on nothing arrives.
    pub fn stall(&self, after: AfterStall) {
        self.control.set(Field::StallKeeps, u64::from(after == AfterStall::Kept));
        self.control.set(Field::Stall, 1);
        self.wake();
    }

    /// It arrives again.
    pub fn end_stall(&self) {
        self.control.set(Field::Stall, 0);
        self.wake();
    }

    /// One overrun (EPIPE), and `lost_ms` of sound that nobody will hear.
    pub fn xrun(&self, lost_ms: u64) {
        self.control.set(Field::XrunLossMs, lost_ms);
        self.control.add(Field::Xruns, 1);
        self.wake();
    }

    /// How much too fast its crystal is, in millionths. Frames are counted by the crystal: a tone
    /// keeps its frequency in the recording, and in real time has that error too.
    pub fn set_ppm(&self, ppm: f64) {
        self.control.set_f64(Field::Ppm, ppm);
    }

    /// Sines, left and right; an amplitude of 1 is full scale. They start at 0, and a new frequency
    /// goes on where the one before stood.
    pub fn set_tone(&self, hz: [f64; 2], amplitude: [f64; 2]) {
        self.control.set_f64(Field::HzLeft, hz[0]);
        self.control.set_f64(Field::HzRight, hz[1]);
        self.control.set_f64(Field::AmplitudeLeft, amplitude[0]);
        self.control.set_f64(Field::AmplitudeRight, amplitude[1]);
    }

    /// A marker of [`MARK_MS`] whose first sample is recorded at this CLOCK_MONOTONIC moment
    /// (`retrowaves::sys::time::now_ns`). To be set a period ahead at least; one at a time.
    pub fn mark_at_ns(&self, moment_ns: u64) {
        self.control.set(Field::MarkAtNs, moment_ns);
    }

    /// How often it was opened.
    pub fn opens(&self) -> u64 {
        self.control.get(Field::Opens)
    }

    /// It records: between start and stop. A reader that was killed has not stopped it.
    pub fn running(&self) -> bool {
        self.control.get(Field::Running) == 1
    }

    /// What it has recorded, of all streams, up to the last call of a reader.
    pub fn frames_produced(&self) -> u64 {
        self.control.get(Field::FramesProduced)
    }

    /// What readers have taken, of all streams.
    pub fn frames_delivered(&self) -> u64 {
        self.control.get(Field::FramesDelivered)
    }

    /// Asked for or not.
    pub fn overruns(&self) -> u64 {
        self.control.get(Field::Overruns)
    }

    /// Touches the control file, which the plug-in watches (for a new time of modification only).
    fn wake(&self) {
        let control = File::options().write(true).open(control_in(&self.folder)).expect("the control file");
        control.set_times(FileTimes::new().set_modified(SystemTime::now())).expect("a touch");
    }
}

impl Drop for TestCard {
    fn drop(&mut self) {
        if self.made_here && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Runs a test that opens the card by itself, in a process of its own whose ALSA knows the card:
/// the environment is set before that process starts, and no other test shares it. Called first
/// thing in a test, and only once.
pub fn in_own_process<T: FnOnce(&TestCard)>(card: Builder, test: T) {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        let folder = PathBuf::from(folder);
        return test(&TestCard { control: Control::of(&folder), folder, made_here: false });
    }
    let card = card.make();
    // A closure's name is its function's and a bit more: `file::name_of_the_test::{{closure}}`.
    let closure = std::any::type_name::<T>();
    let name = closure.split_once("::").and_then(|(_, rest)| rest.rsplit_once("::")).expect("a closure in a test").0;
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(CONFIG_VARIABLE, card.config())
        .env(FOLDER_VARIABLE, &card.folder)
        .output()
        .expect("this program again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "in a process of its own:\n{said}");
}

/// The plug-in, built once for this source and kind of machine.
fn plugin() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let name = format!("retrocard-{}-{:016x}.so", std::env::consts::ARCH, hasher.finish());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !path.exists() {
            build(&path);
        }
        path
    })
}

/// Under another name first: other tests may be about to use it, or to build it as well.
fn build(path: &Path) {
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alsa/card.c");
    let output = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DPIC", "-o"])
        .args([&unfinished, &source])
        .args(["-lasound", "-lm"])
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "tests/alsa/card.c:\n{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, path).expect("the plug-in in its place");
}

/// The mapped control file.
struct Control(NonNull<AtomicU64>);

// SAFETY: it points to atomics only, in a mapping of its own that it keeps until it is dropped.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

impl Control {
    fn of(folder: &Path) -> Self {
        let file = File::options().read(true).write(true).open(control_in(folder)).expect("the control file");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; the file is as long as that,
        // since `make` has set its length and nobody changes it.
        let map = unsafe { mmap(None, CONTROL_BYTES, access, MapFlags::MAP_SHARED, &file, 0) };
        Self(map.expect("the control file in memory").cast())
    }

    fn field(&self, field: Field) -> &AtomicU64 {
        // SAFETY: `Field` counts up to `FIELDS`, which is how many the mapping holds; it starts at a
        // page, so each is aligned, any bits are a u64, and the plug-in too writes them atomically.
        unsafe { self.0.add(field as usize).as_ref() }
    }

    fn get(&self, field: Field) -> u64 {
        self.field(field).load(SeqCst)
    }

    fn set(&self, field: Field, value: u64) {
        self.field(field).store(value, SeqCst);
    }

    fn set_f64(&self, field: Field, value: f64) {
        self.set(field, value.to_bits());
    }

    fn add(&self, field: Field, more: u64) {
        self.field(field).fetch_add(more, SeqCst);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: mapped in `of` with this length; no reference into it outlives `self`.
        let _ = unsafe { munmap(self.0.cast(), CONTROL_BYTES.get()) };
    }
}
