//! The station's own Unix socket: one line of JSON in, one line out.
//!
//! A client has a second to say its line and bounds on everything it says, and a
//! thread of its own, of which there are few. It can ask THINK and wait for it; it
//! never touches DO.

pub mod protocol;

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use self::protocol::{Answer, Request, reply_to_line};
use super::{
    library::{self, Library, reader::ReaderCommand},
    think::{Command, Message},
    track::Track,
};
use crate::{
    limits::{STATION_CLIENTS_MAX, STATION_REQUEST_BYTES_MAX},
    sys::thread,
    unix_socket::BoundSocket,
};

/// From a connection to its whole line, and from an answer to its last byte.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
/// THINK answers within this, or it is busy with a disk that hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Who answers.
pub struct Desk {
    /// Asked, and waited for.
    pub think: SyncSender<Message>,
    /// Where a file may be known already.
    pub library: Arc<Library>,
    /// Reads the tags of one that is not.
    pub reader: ReaderCommand,
}

/// The running socket.
pub struct ControlSocket {
    stop: Arc<EventFd>,
    thread: JoinHandle<()>,
}

impl ControlSocket {
    /// Begins to answer on `socket`.
    ///
    /// # Errors
    /// Without a thread or a descriptor.
    pub fn start(socket: BoundSocket, desk: Desk) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let stopped = stop.clone();
        let thread =
            thread::spawn("station:control", move || accept_until_stopped(&socket, &stopped, &Arc::new(desk)))?;
        Ok(Self { stop, thread })
    }

    /// No more clients; the file goes.
    pub fn stop(self) {
        let _ = self.stop.write(1);
        let _ = self.thread.join();
    }
}

fn accept_until_stopped(socket: &BoundSocket, stop: &EventFd, desk: &Arc<Desk>) {
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [socket.as_fd(), stop.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut fds, PollTimeout::NONE);
        if fds[1].any().unwrap_or(true) {
            return;
        }
        let Ok((client, _)) = socket.listener().accept() else {
            // No descriptor to be had: the client waits, and we do not spin.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if clients.fetch_add(1, SeqCst) >= STATION_CLIENTS_MAX {
            clients.fetch_sub(1, SeqCst);
            continue;
        }
        let (desk, count) = (desk.clone(), clients.clone());
        let served = thread::spawn("station:client", move || {
            // A client that goes is not worth a line.
            let _ = serve(&client, &desk);
            count.fetch_sub(1, SeqCst);
        });
        if served.is_err() {
            clients.fetch_sub(1, SeqCst);
        }
    }
}

fn serve(client: &UnixStream, desk: &Desk) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let line = read_line(client)?;
    let (reply, unanswered) = desk.answer(&line);
    let mut client = client;
    let written = client.write_all(reply_to_line(&reply).as_bytes());
    // THINK has not looked at it yet. This client keeps its place until it has: so
    // no more commands wait than there are places, and DO's reports find room.
    drop(client.shutdown(Shutdown::Both));
    drop(unanswered.map(|waiting| waiting.recv()));
    written
}

/// One line, within its bound and its time: who sends byte by byte has no more of it.
fn read_line(mut client: &UnixStream) -> io::Result<String> {
    let deadline = Instant::now() + CLIENT_TIMEOUT;
    let (mut line, mut piece) = (Vec::new(), [0; 1024]);
    while line.len() < STATION_REQUEST_BYTES_MAX && !line.contains(&b'\n') {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut piece)? {
            0 => break,
            count => line.extend_from_slice(&piece[..count]),
        }
    }
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    String::from_utf8(line[..end].to_vec()).map_err(io::Error::other)
}

/// The reply, and where THINK's would come if it is late.
type Replied = (Result<Answer, String>, Option<Receiver<Result<Answer, String>>>);

impl Desk {
    fn answer(&self, line: &str) -> Replied {
        let command = match self.command(line) {
            Ok(command) => command,
            Err(why) => return (Err(why), None),
        };
        let (sender, receiver) = sync_channel(1);
        if self.think.try_send(Message::Command(command, sender)).is_err() {
            return (Err("the station is too busy, or ending".into()), None);
        }
        match receiver.recv_timeout(ANSWER_TIMEOUT) {
            Ok(answer) => (answer, None),
            Err(_) => (Err("the station does not answer in time".into()), Some(receiver)),
        }
    }

    fn command(&self, line: &str) -> Result<Command, String> {
        Ok(match Request::from_line(line)? {
            Request::Now => Command::Now,
            Request::Skip => Command::Skip,
            Request::Next { file } => Command::Next(self.track(&file.0)?),
            Request::History { count } => Command::History(count),
            Request::Scan => Command::Scan,
        })
    }

    /// Of the library, or any other file that can be read.
    fn track(&self, file: &Path) -> Result<Arc<Track>, String> {
        let catalogue = self.library.catalogue();
        match catalogue.tracks.iter().find(|track| track.path == file) {
            Some(track) => Ok(track.clone()),
            None => library::track_at(file, &self.reader).map(Arc::new),
        }
    }
}
