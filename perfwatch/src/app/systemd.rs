//! Notifies systemd, if it started the server: ready, alive, stopping. See sd_notify(3).

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if it started this process and wants notifications.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    pub(super) fn of_this_process() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    fn of(env: impl Fn(&str) -> Option<OsString>) -> Self {
        let socket = env("NOTIFY_SOCKET").and_then(|path| connect(&path).ok());
        let number = |name: &str| env(name)?.to_str()?.parse::<u64>().ok();
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| for_us && *us > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Sends keep-alive messages, two per watchdog timeout, as long as the server is alive. Never returns.
    pub(super) async fn keep_telling(&self, alive: impl Fn() -> bool) -> std::convert::Infallible {
        if let Some(patience) = self.watchdog {
            while alive() {
                self.tell("WATCHDOG=1");
                tokio::time::sleep(patience / 2).await;
            }
            tracing::error!("sampling has ended; the service manager's watchdog will restart the server");
        }
        std::future::pending().await
    }

    fn tell(&self, state: &str) {
        if let Some((socket, manager)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), manager)
        {
            tracing::warn!(%error, state, "cannot notify the service manager");
        }
    }
}

fn connect(path: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that doesn't read its socket must not block the server.
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(socket: &OsStr, watchdog: &str, pid: &str) -> Manager {
        Manager::of(|name| match name {
            "NOTIFY_SOCKET" => Some(socket.to_owned()),
            "WATCHDOG_USEC" => Some(watchdog.into()),
            "WATCHDOG_PID" => Some(pid.into()),
            _ => None,
        })
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn the_manager_hears_of_each_state_while_sampling_lives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = manager(path.as_os_str(), "2000000", &std::process::id().to_string());
        manager.ready();
        let beats = std::cell::Cell::new(0);
        let telling = manager.keep_telling(|| {
            beats.set(beats.get() + 1);
            beats.get() <= 3
        });
        // Paused test time: three beats of a second each pass at once.
        assert!(tokio::time::timeout(Duration::from_secs(60), telling).await.is_err());
        manager.stopping();
        let heard: Vec<String> = (0..5).map(|_| received(&socket)).collect();
        assert_eq!(heard, ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn abstract_sockets_are_found() {
        let name = format!("perfwatch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        manager(OsStr::new(&format!("@{name}")), "", "").ready();
        assert_eq!(received(&socket), "READY=1");
    }

    #[test]
    fn another_process_s_watchdog_is_not_ours() {
        assert_eq!(manager(OsStr::new("/none"), "1000", "1").watchdog, None);
        assert!(Manager::of(|_| None).socket.is_none());
    }
}
