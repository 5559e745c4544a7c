//! The library: finds what can be played in the music folders, reads its tags,
//! and notices what comes and goes.
//!
//! ```text
//! music folders -> scan -> index -> catalogue -> THINK
//!                   |        ^
//!       reader (tags, own    +-- cache (state folder)
//!               process)
//! ```
//!
//! All of it happens on the thread `station:scan`, at nice 10; THINK takes the
//! catalogue that was published last, which costs it a clone of an `Arc`. DO has
//! nothing to do with it.
//!
//! **Why it polls.** inotify sees nothing of what another machine writes to a
//! network share, needs one watch for each folder of which the kernel has a
//! bounded number, forgets all when its queue overflows, and says nothing of a
//! stick that is pulled: one would have to poll beside it anyway. A folder's
//! mtime changes when an entry comes or goes, so one `stat` for each folder every
//! ten seconds finds the same. What is changed in place is found by a full look,
//! every 360th.

pub mod cache;
mod complaints;
mod index;
pub mod keys;
mod names;
mod outside;
mod progress;
pub mod reader;
mod report;
mod scan;
mod tags;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use self::{
    complaints::Complaints,
    index::Index,
    reader::{ReaderCommand, TagReader},
    scan::Look,
};
pub use self::{
    outside::track_at,
    progress::Progress,
    report::{Report, scan_report},
};
use super::{lossless_path::shown, track::Catalogue};
use crate::{limits::LIBRARY_TRACKS_MAX, sys};

/// Every so many looks, each folder is read.
const FULL_EVERY_LOOKS: u64 = 360;
/// Files that were being written at the last look are looked at again after this.
const WAITING_LOOK: Duration = Duration::from_secs(2);
/// A long scan publishes what it has after this time, and then each time it has taken twice as long.
const FIRST_PUBLISH: Duration = Duration::from_millis(500);
/// But at least this often.
const PUBLISH_EVERY_MAX: Duration = Duration::from_secs(30);
/// A long scan writes a line this often.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// The cache is written at most this often (W2), and at the end.
const SAVE_EVERY: Duration = Duration::from_secs(600);
/// The scan gives way to everything else.
const NICE: i32 = 10;

/// What a library is of.
#[derive(Debug, Clone)]
pub struct LibraryOptions {
    /// Music folders.
    pub music: Vec<PathBuf>,
    /// How often they are looked at.
    pub rescan: Duration,
    /// The cache lies here.
    pub state_dir: PathBuf,
    /// How the process that reads tags is started.
    pub reader: ReaderCommand,
}

/// A running library.
#[derive(Debug)]
pub struct Library {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Written by `station:scan`, which holds it for a swap; read by THINK.
    catalogue: RwLock<Arc<Catalogue>>,
    /// Grows with each catalogue.
    generation: AtomicU64,
    progress: Progress,
    stop: AtomicBool,
    /// A look is wanted now.
    wanted: Mutex<bool>,
    wake: Condvar,
}

impl Library {
    /// Starts the thread; what the cache knows is there a moment later.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(options: LibraryOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            catalogue: RwLock::default(),
            generation: AtomicU64::new(0),
            progress: Progress::default(),
            stop: AtomicBool::new(false),
            wanted: Mutex::new(false),
            wake: Condvar::new(),
        });
        let scanner = Scanner::new(options, shared.clone());
        let thread = sys::thread::spawn("station:scan", move || {
            // Refused: then it runs like everything else.
            let _ = sys::thread::set_nice(NICE);
            scanner.run();
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What can be played now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another number means another catalogue. 0: none was published yet.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Acquire)
    }

    /// How far the look is.
    pub fn progress(&self) -> &Progress {
        &self.shared.progress
    }

    /// Looks at everything as soon as possible.
    pub fn rescan_now(&self) {
        *self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
    }

    /// Stops at once, also in the middle of a look, and saves the cache.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.rescan_now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn publish(&self, catalogue: Catalogue) {
        let fresh = Arc::new(catalogue);
        let old = std::mem::replace(&mut *self.catalogue.write().unwrap_or_else(PoisonError::into_inner), fresh);
        self.generation.fetch_add(1, Release);
        // After the lock: it may be the last owner of a hundred thousand tracks.
        drop(old);
    }

    /// Until the next look is due; whether somebody wants one now.
    fn wait(&self, time: Duration) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let until = self.wake.wait_timeout_while(wanted, time, |wanted| !*wanted);
        let (mut wanted, _) = until.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wanted)
    }
}

/// The thread's own.
struct Scanner {
    options: LibraryOptions,
    shared: Arc<Shared>,
    index: Index,
    reader: TagReader,
    complaints: Complaints,
    /// The cache does not have all that the index has.
    unsaved: bool,
    save_at: Option<Instant>,
    saving_fails: bool,
}

impl Scanner {
    fn new(options: LibraryOptions, shared: Arc<Shared>) -> Self {
        Self {
            reader: TagReader::new(options.reader.clone()),
            options,
            shared,
            index: Index::new(),
            complaints: Complaints::default(),
            unsaved: false,
            save_at: None,
            saving_fails: false,
        }
    }

    fn run(mut self) {
        self.load();
        // The first look reads every folder: the cache is from another time.
        let mut full = true;
        for number in 1.. {
            self.look(number, full);
            self.save_if_due(Instant::now());
            let pause =
                if self.index.has_waiting() { self.options.rescan.min(WAITING_LOOK) } else { self.options.rescan };
            let wanted = self.shared.wait(pause);
            if self.shared.stop.load(Relaxed) {
                break;
            }
            full = wanted || number % FULL_EVERY_LOOKS == 0;
        }
        self.save();
    }

    fn load(&mut self) {
        let begun = Instant::now();
        let Some(index) = cache::load(&self.cache_path(), &self.options.music) else { return };
        self.index = index;
        let catalogue = self.index.catalogue();
        log::info!("library: {} tracks known after {} ms", catalogue.tracks.len(), begun.elapsed().as_millis());
        self.shared.publish(catalogue);
    }

    fn look(&mut self, number: u64, full: bool) {
        let begun = Instant::now();
        let shared = self.shared.clone();
        let mut publish_at = FIRST_PUBLISH;
        let mut line_at = LINE_EVERY;
        let mut save_at = SAVE_EVERY;
        let path = self.cache_path();
        let music = &self.options.music;
        let mut meanwhile = |index: &Index| {
            let elapsed = begun.elapsed();
            let parsed = shared.progress.parsed.load(Relaxed);
            if elapsed >= publish_at && parsed > 0 {
                shared.publish(index.catalogue());
                publish_at = elapsed + elapsed.min(PUBLISH_EVERY_MAX);
            }
            if elapsed >= line_at {
                let per_sec = u128::from(parsed) * 1000 / elapsed.as_millis().max(1);
                log::info!("scanning: {}, {per_sec}/s", shared.progress);
                line_at = elapsed + LINE_EVERY;
            }
            // A scan of hours is not to begin again after a power cut. Should it fail, the end of the scan says so.
            if elapsed >= save_at && parsed > 0 {
                let _ = cache::save(&path, music, index);
                save_at = elapsed + SAVE_EVERY;
            }
        };
        self.complaints.begin_look();
        let mut look = Look {
            number,
            full,
            now_ns: now_ns(),
            tracks_max: LIBRARY_TRACKS_MAX,
            stop: &self.shared.stop,
            progress: &self.shared.progress,
            reader: &mut self.reader,
            complaints: &mut self.complaints,
            meanwhile: &mut meanwhile,
        };
        let changed = scan::look(&mut self.index, music, &mut look);
        // What a stopped look has read is worth keeping too.
        let changed = changed.unwrap_or(self.shared.progress.parsed.load(Relaxed) > 0);
        if changed || self.shared.generation.load(Relaxed) == 0 {
            self.unsaved |= changed;
            let catalogue = self.index.catalogue();
            let sec = begun.elapsed().as_secs_f32();
            log::info!("library: {}; {} in {sec:.1} s", report::by_kind(&catalogue), self.shared.progress);
            self.shared.publish(catalogue);
        }
    }

    fn save_if_due(&mut self, now: Instant) {
        if self.unsaved && self.save_at.is_none_or(|at| now >= at) {
            self.save();
            self.save_at = Some(now + SAVE_EVERY);
        }
    }

    fn save(&mut self) {
        if !self.unsaved {
            return;
        }
        let path = self.cache_path();
        match cache::save(&path, &self.options.music, &self.index) {
            Ok(()) => {
                self.unsaved = false;
                self.saving_fails = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.saving_fails, true) {
                    log::warn!("cannot write {}: {error}; the next start reads all tags again", shown(&path));
                }
            }
        }
    }

    fn cache_path(&self) -> PathBuf {
        self.options.state_dir.join(cache::FILE_NAME)
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
