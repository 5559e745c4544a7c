//! The station's own Unix socket: one line of JSON in, one line out.
//!
//! A client has a second to say its line and bounds on everything it says, and a
//! thread of its own, of which there are few. It can ask THINK and wait for it; it
//! never touches DO.

pub mod protocol;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::AsFd,
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use self::protocol::{Reply, Request};
use super::{
    library::track_of,
    think::{Command, Message},
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

/// The running socket.
pub struct ControlSocket {
    stop: Arc<EventFd>,
    thread: JoinHandle<()>,
}

impl ControlSocket {
    /// Begins to answer on `socket`, by asking `think`.
    ///
    /// # Errors
    /// Without a thread or a descriptor.
    pub fn start(socket: BoundSocket, think: SyncSender<Message>) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let stopped = stop.clone();
        let thread = thread::spawn("station:control", move || accept_until_stopped(&socket, &stopped, &think))?;
        Ok(Self { stop, thread })
    }

    /// No more clients; the file goes.
    pub fn stop(self) {
        let _ = self.stop.write(1);
        let _ = self.thread.join();
    }
}

fn accept_until_stopped(socket: &BoundSocket, stop: &EventFd, think: &SyncSender<Message>) {
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
        let (think, count) = (think.clone(), clients.clone());
        let served = thread::spawn("station:client", move || {
            // A client that goes is not worth a line.
            let _ = serve(&client, &think);
            count.fetch_sub(1, SeqCst);
        });
        if served.is_err() {
            clients.fetch_sub(1, SeqCst);
        }
    }
}

fn serve(client: &UnixStream, think: &SyncSender<Message>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut line = Vec::new();
    BufReader::new(client.take(STATION_REQUEST_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let reply = answer(&line, think).unwrap_or_else(Reply::error);
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    let mut client = client;
    client.write_all(&text)
}

fn answer(line: &[u8], think: &SyncSender<Message>) -> Result<Reply, String> {
    let request: Request = serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
    let (sender, receiver) = sync_channel(1);
    let command = command(request)?;
    think.try_send(Message::Command(command, sender)).map_err(|_| "the station is too busy, or ending".to_owned())?;
    receiver.recv_timeout(ANSWER_TIMEOUT).map_err(|_| "the station does not answer in time".to_owned())
}
