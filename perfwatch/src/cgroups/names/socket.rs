//! Asking a runtime's API, which Docker and Podman have on a Unix socket: one read-only request per container.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::found::{Found, of_docker};

/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a socket did not answer; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// An answer is some ten kilobytes long.
const MAX_ANSWER: u64 = 4 << 20;

/// A configured socket.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    timeout: Duration,
    pause: Duration,
    /// It failed; until then it is left alone.
    failed: Option<(Instant, String)>,
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, timeout: TIMEOUT, pause: FIRST_PAUSE, failed: None }
    }

    /// What it knows of a container; `Ok(None)` if it does not know it.
    pub(super) fn ask(&mut self, id: &str) -> Result<Option<Found>, String> {
        if let Some((until, why)) = &self.failed
            && Instant::now() < *until
        {
            return Err(why.clone());
        }
        match request(&self.path, &format!("/containers/{id}/json"), self.timeout) {
            Ok(answer) => {
                (self.failed, self.pause) = (None, FIRST_PAUSE);
                Ok(answer.as_deref().and_then(of_docker))
            }
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        format!("{}: no answer within {} ms", self.path.display(), self.timeout.as_millis())
                    }
                    _ => format!("{}: {error}", self.path.display()),
                };
                self.failed = Some((Instant::now() + self.pause, why.clone()));
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Err(why)
            }
        }
    }
}

/// The body of the answer to a GET; `None` unless it is a 200. HTTP/1.0, so that the answer ends with the connection and
/// comes in one piece.
fn request(path: &Path, target: &str, timeout: Duration) -> std::io::Result<Option<Vec<u8>>> {
    let end = Instant::now() + timeout;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Also for connecting: a queue that is full would hold us up.
    set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut stream = UnixStream::from(socket);
    stream.write_all(
        format!("GET {target} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > MAX_ANSWER {
            return Err(std::io::Error::other("the answer is too long"));
        }
    }
    let text = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end_of_head) = text else { return Err(std::io::Error::other("the answer is not HTTP")) };
    let mut words = answer[..end_of_head].split(|byte| *byte == b' ');
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (version.starts_with(b"HTTP/1."), status) {
        (true, b"200") => Ok(Some(answer.split_off(end_of_head + 4))),
        (true, b"404") => Ok(None),
        (true, status) => Err(std::io::Error::other(format!("status {}", String::from_utf8_lossy(status)))),
        _ => Err(std::io::Error::other("the answer is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    /// A runtime that answers each connection with one of `answers`, and tells what it was asked.
    fn runtime(answers: Vec<&'static str>) -> (tempfile::TempDir, PathBuf, mpsc::Receiver<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines();
                tell.send(lines.next().unwrap().unwrap()).unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        (folder, path, told)
    }

    #[test]
    fn a_container_is_asked_for_by_its_id_and_nothing_is_changed() {
        let known = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Name\":\"/web\",\"Config\":{\"Image\":\"nginx\"}}";
        let unknown = "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container: y\"}";
        let (_folder, path, told) = runtime(vec![known, unknown]);
        let mut socket = Socket::new(path);
        let found = socket.ask("x").unwrap().unwrap();
        assert_eq!((found.name.as_deref(), found.image.as_deref()), (Some("web"), Some("nginx")));
        assert_eq!(told.recv().unwrap(), "GET /containers/x/json HTTP/1.0");
        assert_eq!(socket.ask("y"), Ok(None));
    }

    #[test]
    fn a_socket_that_hangs_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        // It listens, and nobody ever accepts.
        let _listener = UnixListener::bind(&path).unwrap();
        let mut socket = Socket { timeout: Duration::from_millis(20), ..Socket::new(path) };
        let why = socket.ask("x").unwrap_err();
        assert!(why.contains("no answer within 20 ms"), "{why}");
        let (until, _) = socket.failed.clone().unwrap();
        socket.timeout = Duration::from_secs(3600);
        assert_eq!(socket.ask("y"), Err(why), "at once");
        assert!(socket.pause > FIRST_PAUSE && until > Instant::now());
    }

    #[test]
    fn what_is_no_runtime_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Socket::new(folder.path().join("none")).ask("x").unwrap_err();
        assert!(missing.contains("none") && missing.contains("No such file"), "{missing}");
        for answer in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 500 Internal\r\n\r\n", "HTTP/1.0 200"] {
            let (_folder, path, _told) = runtime(vec![answer]);
            assert!(Socket::new(path).ask("x").is_err(), "{answer:?}");
        }
    }
}
