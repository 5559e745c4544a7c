//! The process that reads tags, and how it is asked.
//!
//! Tags are other people's bytes, and the parser is other people's code. In a
//! release build a panic ends the whole program, and no Rust program survives an
//! allocation that fails; a hang would stop the library for good. So a child of
//! our own program reads them, with little memory: one that dies or hangs costs
//! the tags of one file. (It also keeps the parser's own log lines out of ours,
//! and gives its memory back when the scan is through.)
//!
//! Both speak over one socket, the child's stdin: four bytes of length and a
//! path in, four bytes of length and `Option<Tags>` (postcard) out. Paths go out
//! in batches, since waking each other for each file would cost more than
//! reading it. If a batch fails, its files are asked one by one, and the one that
//! fails alone is the culprit.

use std::{
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, setrlimit};

use super::tags::{self, Tags};
use crate::{
    limits::{TAG_MESSAGE_BYTES_MAX, TAG_READ_SEC_MAX, TAG_READER_BYTES_MAX},
    sys,
};

/// The argument that makes the station such a process.
pub const ARGUMENT: &str = "read-tags";
/// Files of one batch.
pub const BATCH: usize = 32;
/// The child says this when it is there: a program that knows nothing of tags does not.
const HELLO: &[u8; 4] = b"RWt1";
/// How often a wait looks whether it is to stop.
const SLICE: Duration = Duration::from_millis(100);
const NICE: i32 = 10;
/// After as many starts in a row that led to nothing, there is no reader for this look.
const STARTS_MAX: u32 = 3;

/// How the process is started.
#[derive(Debug, Clone)]
pub struct ReaderCommand {
    /// The program.
    pub program: PathBuf,
    /// With these arguments it calls [`serve_tags`].
    pub args: Vec<OsString>,
}

impl Default for ReaderCommand {
    /// This program, also when an update has replaced its file.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec![ARGUMENT.into()] }
    }
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Read.
    Tags(Tags),
    /// No tags that make sense.
    NoTags,
    /// The reader died of this file, or took too long.
    Deadly(&'static str),
    /// There is no reader: ask again at the next look.
    NoReader,
}

/// Asks the process, and starts it when it is needed.
#[derive(Debug)]
pub struct TagReader {
    command: ReaderCommand,
    running: Option<Running>,
    failed_starts: u32,
    /// That it cannot be started was said.
    said: bool,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TagReader {
    /// Not started yet.
    pub fn new(command: ReaderCommand) -> Self {
        Self { command, running: None, failed_starts: 0, said: false }
    }

    /// The tags of `paths` (at most [`BATCH`]), in their order. With `stop` set it
    /// returns at once, with fewer.
    pub fn read(&mut self, paths: &[PathBuf], stop: &AtomicBool) -> Vec<Outcome> {
        debug_assert!(paths.len() <= BATCH);
        if let Ok(outcomes) = self.ask(paths, stop, Duration::from_secs(2 * TAG_READ_SEC_MAX)) {
            return outcomes;
        }
        let mut outcomes = Vec::with_capacity(paths.len());
        for path in paths {
            if stop.load(Relaxed) {
                break;
            }
            let one = self.ask(std::slice::from_ref(path), stop, Duration::from_secs(TAG_READ_SEC_MAX));
            outcomes.push(match one {
                Ok(mut one) => one.pop().unwrap_or(Outcome::NoReader),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Deadly("it took too long"),
                Err(_) => Outcome::Deadly("it died of this file"),
            });
        }
        outcomes
    }

    /// The look is over: the process goes, and may be started again at the next.
    pub fn rest(&mut self) {
        self.running = None;
        self.failed_starts = 0;
    }

    fn ask(&mut self, paths: &[PathBuf], stop: &AtomicBool, within: Duration) -> io::Result<Vec<Outcome>> {
        if self.running.is_none() {
            self.start(stop);
        }
        let Some(running) = &mut self.running else { return Ok(vec![Outcome::NoReader; paths.len()]) };
        let deadline = Instant::now() + within;
        let answered = exchange(&mut running.stream, paths, stop, deadline);
        match &answered {
            Ok(_) => {}
            // In the middle of an exchange: what it says next would be about another file.
            Err(_) => self.running = None,
        }
        answered
    }

    fn start(&mut self, stop: &AtomicBool) {
        if self.failed_starts >= STARTS_MAX {
            return;
        }
        match self.try_start(stop) {
            Ok(running) => {
                self.running = Some(running);
                self.failed_starts = 0;
                self.said = false;
            }
            Err(error) => {
                self.failed_starts += 1;
                if self.failed_starts == STARTS_MAX && !stop.load(Relaxed) && !std::mem::replace(&mut self.said, true) {
                    let program = self.command.program.display();
                    log::warn!("cannot start {program} to read tags: {error}; new files go by their names for now");
                }
            }
        }
    }

    fn try_start(&self, stop: &AtomicBool) -> io::Result<Running> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(SLICE))?;
        ours.set_write_timeout(Some(Duration::from_secs(TAG_READ_SEC_MAX)))?;
        let mut command = Command::new(&self.command.program);
        command.args(&self.command.args).stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        sys::child::prepare(&mut command, NICE);
        let mut running = Running { child: command.spawn()?, stream: BufReader::with_capacity(64 << 10, ours) };
        // The command holds the child's end of the socket: without this its death would not be seen.
        drop(command);
        let mut hello = [0; HELLO.len()];
        fill(&mut running.stream, &mut hello, stop, Instant::now() + Duration::from_secs(TAG_READ_SEC_MAX))?;
        if &hello == HELLO { Ok(running) } else { Err(io::Error::other("it says something else")) }
    }
}

/// With `stop` set: as many as there are.
fn exchange(
    stream: &mut BufReader<UnixStream>,
    paths: &[PathBuf],
    stop: &AtomicBool,
    deadline: Instant,
) -> io::Result<Vec<Outcome>> {
    let mut question = Vec::new();
    for path in paths {
        put(&mut question, path.as_os_str().as_bytes())?;
    }
    stream.get_mut().write_all(&question)?;
    let mut outcomes = Vec::with_capacity(paths.len());
    let mut answer = Vec::new();
    for _ in paths {
        let mut length = [0; 4];
        fill(stream, &mut length, stop, deadline)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > TAG_MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        answer.resize(length, 0);
        fill(stream, &mut answer, stop, deadline)?;
        let tags: Option<Tags> = postcard::from_bytes(&answer).map_err(io::Error::other)?;
        outcomes.push(tags.map_or(Outcome::NoTags, Outcome::Tags));
    }
    Ok(outcomes)
}

/// `read_exact` with a deadline, in slices.
fn fill(stream: &mut impl Read, buffer: &mut [u8], stop: &AtomicBool, deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if stop.load(Relaxed) => return Err(io::ErrorKind::Interrupted.into()),
            Err(_) if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
    Ok(())
}

fn put(out: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(message)
}

/// Becomes the process that reads tags, if that is what this program was started
/// for; the first thing in `main`.
pub fn serve_if_asked() {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(ARGUMENT)) {
        serve_tags();
        std::process::exit(0);
    }
}

/// Answers with the tags of files until nobody asks any more.
pub fn serve_tags() {
    serve(tags::read);
}

/// Reads paths from the socket that is stdin, and answers, until it is closed.
fn serve(read: impl Fn(&Path) -> Option<Tags>) {
    // A core file of each bad MP3 would fill the disk.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_AS, TAG_READER_BYTES_MAX, TAG_READER_BYTES_MAX);
    // It fails when the other end is closed: all is said then.
    let _ = serve_on_stdin(read);
}

fn serve_on_stdin(read: impl Fn(&Path) -> Option<Tags>) -> io::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut answers = BufWriter::with_capacity(64 << 10, stream.try_clone()?);
    let mut questions = BufReader::with_capacity(64 << 10, stream);
    answers.write_all(HELLO)?;
    loop {
        // Nobody waits for an answer as long as there are questions.
        if questions.buffer().is_empty() {
            answers.flush()?;
            if questions.fill_buf()?.is_empty() {
                return Ok(());
            }
        }
        let mut length = [0; 4];
        questions.read_exact(&mut length)?;
        let mut path = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0).min(TAG_MESSAGE_BYTES_MAX)];
        questions.read_exact(&mut path)?;
        let tags = read(Path::new(OsStr::from_bytes(&path)));
        put(&mut answers, &postcard::to_allocvec(&tags).map_err(io::Error::other)?)?;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const ROLE: &str = "RETROWAVES_TEST_TAG_READER";

    /// The unit tests' own program as reader, in one of the roles below.
    pub fn command(role: &str) -> ReaderCommand {
        let myself = std::env::current_exe().expect("test binary").into_os_string();
        let name = "station::library::reader::tests::reader_process";
        let args = [format!("{ROLE}={role}").into(), myself, "--exact".into(), name.into(), "--nocapture".into()];
        ReaderCommand { program: "env".into(), args: args.into() }
    }

    /// Not a test: the process that the tests start.
    #[test]
    fn reader_process() {
        match std::env::var(ROLE).as_deref() {
            Ok("real") => serve(tags::read),
            Ok("fragile") => serve(|path| match path.to_str() {
                Some(path) if path.contains("dies") => std::process::abort(),
                Some(path) if path.contains("hangs") => loop {
                    std::thread::sleep(Duration::from_secs(1));
                },
                Some(path) if path.contains("eats") => {
                    let eaten = vec![1u8; usize::try_from(TAG_READER_BYTES_MAX).expect("small")];
                    Some(Tags { year: Some(u16::from(eaten[0])), ..Tags::default() })
                }
                Some(path) => Some(Tags { title: Some(path.into()), ..Tags::default() }),
                None => None,
            }),
            _ => {}
        }
    }

    fn read(reader: &mut TagReader, names: &[&str]) -> Vec<Outcome> {
        let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        reader.read(&paths, &AtomicBool::new(false))
    }

    fn titled(title: &str) -> Outcome {
        Outcome::Tags(Tags { title: Some(title.into()), ..Tags::default() })
    }

    #[test]
    fn st3_a_file_that_kills_the_parser_costs_its_own_tags_only() {
        let mut reader = TagReader::new(command("fragile"));
        let outcomes = read(&mut reader, &["a", "dies", "b", "eats", "c"]);
        let died = Outcome::Deadly("it died of this file");
        assert_eq!(outcomes, [titled("a"), died.clone(), titled("b"), died, titled("c")]);
        assert_eq!(read(&mut reader, &["d"]), [titled("d")]);
        reader.rest();
        assert_eq!(read(&mut reader, &["e"]), [titled("e")]);
    }

    #[test]
    fn st3_a_file_that_hangs_the_parser_is_given_up() {
        let mut reader = TagReader::new(command("fragile"));
        let path = [PathBuf::from("hangs")];
        let error = reader.ask(&path, &AtomicBool::new(false), Duration::from_millis(300)).expect_err("hangs");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(&mut reader, &["a"]), [titled("a")]);
        // And a stop does not wait for it.
        let stopped = reader.read(&path, &AtomicBool::new(true));
        assert!(stopped.is_empty());
    }

    #[test]
    fn st3_without_a_reader_files_go_by_their_names() {
        for program in ["true", "echo", "no-such-program-anywhere"] {
            let mut reader = TagReader::new(ReaderCommand { program: program.into(), args: vec!["RWt0".into()] });
            for _ in 0..STARTS_MAX {
                assert_eq!(read(&mut reader, &["a", "b"]), [Outcome::NoReader, Outcome::NoReader], "{program}");
            }
            assert_eq!(reader.failed_starts, STARTS_MAX);
        }
    }
}
