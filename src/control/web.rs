//! tiny_http and the two threads that answer.
//!
//! Its accept thread ends at the first error of `accept`. The door keeps descriptors
//! free so that this does not happen; if it does, a new server takes its place.

use std::{
    io::Read,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use tiny_http::{Header, Request, Response, Server};

use super::{Answer, Asked, ControlError, ControlPlane};
use crate::{
    door::relay_to_web::{ORIGIN_HEADER, Origin},
    limits::BODY_BYTES_MAX,
    sys::thread,
    unix_socket::{self, BoundSocket},
};

/// Only the tower itself connects.
const SOCKET_MODE: u32 = 0o600;

pub(super) struct Web {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    plane: ControlPlane,
    current: Mutex<Serving>,
    stopping: AtomicBool,
}

struct Serving {
    server: Arc<Server>,
    /// After the server: its file is removed last.
    _socket: BoundSocket,
}

impl Web {
    pub(super) fn start(path: PathBuf, plane: ControlPlane, threads: usize) -> Result<Self, ControlError> {
        let current = Mutex::new(serve(&path)?);
        let shared = Arc::new(Shared { path, plane, current, stopping: AtomicBool::new(false) });
        let mut web = Self { shared, threads: Vec::new() };
        for _ in 0..threads {
            let shared = web.shared.clone();
            match thread::spawn("tower:web", move || shared.run()) {
                Ok(thread) => web.threads.push(thread),
                Err(source) => {
                    web.stop();
                    return Err(ControlError::Thread { name: "tower:web", source });
                }
            }
        }
        Ok(web)
    }

    pub(super) fn stop(self) {
        self.shared.stopping.store(true, SeqCst);
        let server = self.shared.server();
        self.threads.iter().for_each(|_| server.unblock());
        drop(server);
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("tower:web ended in a panic");
            }
        }
    }
}

fn serve(path: &std::path::Path) -> Result<Serving, ControlError> {
    let socket = unix_socket::bind(path, SOCKET_MODE)?;
    let failed = |error: std::io::Error| ControlError::Server(error.to_string());
    let listener = socket.listener().try_clone().map_err(failed)?;
    // tiny_http waits in accept.
    listener.set_nonblocking(false).map_err(failed)?;
    let server = Server::from_listener(listener, None).map_err(|error| ControlError::Server(error.to_string()))?;
    Ok(Serving { server: Arc::new(server), _socket: socket })
}

impl Shared {
    fn server(&self) -> Arc<Server> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.server.clone()
    }

    fn run(&self) {
        while !self.stopping.load(SeqCst) {
            let server = self.server();
            match server.recv() {
                Ok(request) => self.answer(request),
                Err(_) if self.stopping.load(SeqCst) => return,
                Err(error) => self.replace(&server, &error),
            }
        }
    }

    /// Puts a new server in the place of one whose accept thread has ended.
    fn replace(&self, failed: &Arc<Server>, error: &std::io::Error) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.server, failed) {
            return;
        }
        log::error!("the control plane's server has failed and is replaced: {error}");
        // Its descriptor must be closed before the path can be bound anew: nobody answers there.
        let _ = std::fs::remove_file(&self.path);
        match serve(&self.path) {
            Ok(serving) => {
                // When dropped, it would remove the file of its successor; its thread is gone anyway.
                std::mem::forget(failed.clone());
                *current = serving;
                (0..super::WEB_THREADS).for_each(|_| failed.unblock());
            }
            Err(error) => {
                log::error!("the control plane's server cannot be replaced yet: {error}");
                failed.unblock();
                drop(current);
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        }
    }

    fn answer(&self, mut request: Request) {
        let mut body = Vec::new();
        let limit = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX);
        // What cannot be read is judged as it is: as a body that is not JSON.
        let _ = request.as_reader().take(limit).read_to_end(&mut body);
        let header = |name: &'static str| {
            let found = request.headers().iter().find(|h| h.field.equiv(name));
            found.map(|h| h.value.as_str().to_owned())
        };
        let (from, host, origin) = (header(ORIGIN_HEADER), header("Host"), header("Origin"));
        let method = request.method().to_string();
        let url = request.url().to_owned();
        let answer = self.plane.answer(Asked {
            method: &method,
            path: url.split('?').next().unwrap_or(&url),
            from: Origin::from_name(from.as_deref().unwrap_or("")),
            host: host.as_deref(),
            origin: origin.as_deref(),
            body: &body,
        });
        // The door has hung up: nobody is left to tell.
        let _ = request.respond(response(&answer));
    }
}

fn response(answer: &Answer) -> Response<std::io::Cursor<Vec<u8>>> {
    let mut response =
        Response::from_string(answer.body.clone()).with_status_code(answer.status).with_chunked_threshold(usize::MAX);
    let headers = [
        ("Content-Type", (!answer.body.is_empty()).then_some(answer.content_type)),
        ("Cache-Control", Some("no-cache, no-store")),
        ("Allow", answer.allow),
    ];
    for (name, value) in headers {
        let header = value.and_then(|value| Header::from_bytes(name, value).ok());
        if let Some(header) = header {
            response.add_header(header);
        }
    }
    response
}
