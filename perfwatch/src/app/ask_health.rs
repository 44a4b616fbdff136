//! `perfwatch health`: checks the health of the configured server, for container health checks.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(2);
/// The response is a line of JSON after a few headers.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// The response of `/health`; an error if the server does not respond. With TLS this only connects.
pub fn ask_health(config: &Config) -> Result<String> {
    let address = reachable(config.server.listen);
    let server = || format!("no server responds at {address}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(server)?;
    if config.server.tls.is_some() {
        return Ok("accepts connections".to_owned());
    }
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .with_context(server)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).with_context(server)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(server)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{address}: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// A server that listens on all addresses is reached via loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr =
        if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if listen.ip().is_unspecified() { SocketAddr::new(loopback, listen.port()) } else { listen }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    fn config(listen: SocketAddr) -> Config {
        let listen = listen.to_string();
        Config::load(|name| (name == "listen").then(|| listen.clone()), |_| None, None).unwrap()
    }

    fn answered(answer: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = request.next().unwrap();
            while request.next().is_some_and(|line| !line.is_empty()) {}
            (&stream).write_all(answer.as_bytes()).unwrap();
            first
        });
        let answer = ask_health(&config(address));
        assert_eq!(server.join().unwrap(), "GET /health HTTP/1.1");
        answer
    }

    #[test]
    fn the_body_is_told_and_refusals_are_errors() {
        let body = "{\"status\":\"healthy\"}";
        assert_eq!(answered("HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"status\":\"healthy\"}").unwrap(), body);
        let error = answered("HTTP/1.1 503 Service Unavailable\r\n\r\n{}").unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
        assert!(answered("nonsense").is_err());
    }

    #[test]
    fn silence_is_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask_health(&config(closed)).is_err());
    }

    #[test]
    fn all_addresses_are_asked_on_the_loopback() {
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("192.0.2.1:1".parse().unwrap()).to_string(), "192.0.2.1:1");
    }
}
