//! A machine's part in joining: it makes a key, shows a hub the token, and keeps what it gets in the data directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::jwt::credentials;
use crate::config;
use crate::config::check::is_nats_url;
use crate::host::Host;

/// In the data directory.
pub const DIR: &str = "fleet";
const CREDENTIALS: &str = "user.creds";
const AUTHORITIES: &str = "ca.pem";
/// Written last: that it is there says that all is.
const MEMBERSHIP: &str = "membership.json";
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_ANSWER: u64 = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error("this machine has joined a fleet as {host}; to join anew, remove {path}")]
    Joined { host: String, path: PathBuf },
    #[error(
        "this machine joined the fleet as {joined}, but its ID is {now} now: set PERFWATCH_HOST_ID to {joined}, or remove \
         {path} and join anew"
    )]
    OtherHost { joined: String, now: String, path: PathBuf },
    #[error("{0} begins with neither https:// nor http://")]
    Address(String),
    #[error(
        "{0} is not encrypted, so whoever is on the way could join instead of this machine: use https://, or allow it with \
         --allow-http (PERFWATCH_JOIN_ALLOW_HTTP)"
    )]
    NotEncrypted(String),
    /// It may work later.
    #[error("cannot reach the hub at {0}: {1}")]
    Unreachable(String, String),
    #[error("the hub refused: {0}")]
    Refused(String),
    #[error("{0} does not answer as a hub does")]
    NotAHub(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("cannot make a key: {0}")]
    Key(nkeys::error::Error),
}

#[derive(Serialize, Deserialize)]
struct Membership {
    host: String,
    hub: String,
    servers: Vec<String>,
}

#[derive(Deserialize)]
struct Ticket {
    jwt: String,
    servers: Vec<String>,
    ca: Option<String>,
}

/// How to join.
#[derive(Debug)]
pub struct Invitation<'a> {
    /// Of a hub's page.
    pub url: &'a str,
    pub token: &'a str,
    /// Also without encryption.
    pub allow_http: bool,
}

/// How to reach the fleet that this machine has joined; `None` if it has not.
pub fn load(
    data_dir: &Path,
    host: &str,
    outbox_max_bytes: u64,
) -> Result<Option<config::Fleet>, MembershipError> {
    let Some((membership, path)) = read(data_dir)? else { return Ok(None) };
    if membership.host != host {
        return Err(MembershipError::OtherHost { joined: membership.host, now: host.to_owned(), path });
    }
    let ca = path.join(AUTHORITIES);
    Ok(Some(config::Fleet {
        servers: membership.servers,
        credentials: Some(path.join(CREDENTIALS)),
        ca: ca.exists().then_some(ca),
        outbox_max_bytes,
        ..config::Fleet::default()
    }))
}

fn read(data_dir: &Path) -> Result<Option<(Membership, PathBuf)>, MembershipError> {
    let dir = data_dir.join(DIR);
    let path = dir.join(MEMBERSHIP);
    let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    match read {
        Ok(membership) => Ok(Some((membership, dir))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MembershipError::File(path, error)),
    }
}

/// Joins, and keeps what that takes in the data directory. Blocks for as long as the hub takes.
pub fn join(invitation: &Invitation<'_>, host: &Host, data_dir: &Path) -> Result<(), MembershipError> {
    if let Some((membership, path)) = read(data_dir)? {
        return Err(MembershipError::Joined { host: membership.host, path });
    }
    let url = invitation.url.trim_end_matches('/');
    check(url, invitation.allow_http)?;
    let key = KeyPair::new_user();
    let seed = key.seed().map_err(MembershipError::Key)?;
    let asked = json!({
        "token": invitation.token, "public_key": key.public_key(), "host": host.id, "name": host.name,
    });
    let ticket = ask(url, &asked)?;
    let are_servers = !ticket.servers.is_empty() && ticket.servers.iter().all(|server| is_nats_url(server));
    // What is not a JWT would end up as something else in the file.
    let is_jwt = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !are_servers || ticket.jwt.is_empty() || !ticket.jwt.chars().all(is_jwt) {
        return Err(MembershipError::NotAHub(url.to_owned()));
    }
    let membership = Membership { host: host.id.clone(), hub: url.to_owned(), servers: ticket.servers };
    let mut files = vec![(CREDENTIALS, credentials(&ticket.jwt, &seed))];
    files.extend(ticket.ca.map(|ca| (AUTHORITIES, ca)));
    files.push((MEMBERSHIP, format!("{}\n", json!(membership))));
    keep(data_dir, files)
}

/// Whoever reads the token on its way may use it first.
fn check(url: &str, allow_http: bool) -> Result<(), MembershipError> {
    let uri: Option<Uri> = url.parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else {
        return Err(MembershipError::Address(url.to_owned()));
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => Ok(()),
        Some("http") if allow_http || is_here => Ok(()),
        Some("http") => Err(MembershipError::NotEncrypted(url.to_owned())),
        _ => Err(MembershipError::Address(url.to_owned())),
    }
}

fn ask(url: &str, asked: &Value) -> Result<Ticket, MembershipError> {
    let unreachable = |why: String| MembershipError::Unreachable(url.to_owned(), why);
    let trusted = rustls_native_certs::load_native_certs().certs;
    let trusted: Vec<Certificate<'static>> =
        trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&trusted))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // Elsewhere it would be another hub's token.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("perfwatch/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent();
    let request = agent.post(format!("{url}/api/fleet/join")).header("content-type", "application/json");
    let mut answer = request.send(asked.to_string()).map_err(|error| unreachable(error.to_string()))?;
    let mut body = Vec::new();
    let read = answer.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut body);
    read.map_err(|error| unreachable(error.to_string()))?;
    let status = answer.status();
    let detail = || {
        let body: Option<Value> = serde_json::from_slice(&body).ok();
        body.as_ref().and_then(|body| body["detail"].as_str()).map(str::to_owned)
    };
    match status.as_u16() {
        200 => serde_json::from_slice(&body).map_err(|_| MembershipError::NotAHub(url.to_owned())),
        429 | 500..=599 => Err(unreachable(detail().unwrap_or_else(|| status.to_string()))),
        300..=399 => Err(MembershipError::Refused(format!(
            "{status}; redirects are not followed, use the final address"
        ))),
        404 | 405 => Err(MembershipError::NotAHub(url.to_owned())),
        _ => Err(MembershipError::Refused(detail().unwrap_or_else(|| status.to_string()))),
    }
}

/// Writes the files for the data directory's owner, who runs the service.
fn keep(data_dir: &Path, files: Vec<(&str, String)>) -> Result<(), MembershipError> {
    let dir = data_dir.join(DIR);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| MembershipError::File(path, error)
    };
    let owner = fs::metadata(data_dir).map_err(failed(data_dir))?;
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| give(&dir))
        .map_err(failed(&dir))?;
    for (name, text) in files {
        let (path, partial) = (dir.join(name), dir.join(format!("{name}.partial")));
        let write = || {
            // A leftover may have another mode.
            match fs::remove_file(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            give(&partial)?;
            fs::rename(&partial, &path)
        };
        write().map_err(failed(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_https_or_stays_here() {
        for good in
            ["https://hub.example.org", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"]
        {
            assert!(check(good, false).is_ok(), "{good}");
        }
        assert!(matches!(check("http://hub", false), Err(MembershipError::NotEncrypted(_))));
        assert!(check("http://hub", true).is_ok());
        for bad in ["hub", "ftp://hub", "https://", ""] {
            assert!(matches!(check(bad, true), Err(MembershipError::Address(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_is_found_by_the_same_host_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), "web.1", 7).unwrap().is_none());
        let membership = Membership {
            host: "web.1".into(),
            hub: "https://hub".into(),
            servers: vec!["tls://nats".into()],
        };
        keep(dir.path(), vec![(CREDENTIALS, "x".into()), (MEMBERSHIP, json!(membership).to_string())])
            .unwrap();
        let fleet = load(dir.path(), "web.1", 7).unwrap().unwrap();
        assert_eq!((fleet.servers, fleet.outbox_max_bytes), (vec!["tls://nats".to_owned()], 7));
        assert!(fleet.credentials.is_some_and(|path| path.exists()) && fleet.ca.is_none());
        assert!(matches!(load(dir.path(), "other", 7), Err(MembershipError::OtherHost { .. })));
        let invitation = Invitation { url: "https://hub", token: "x", allow_http: false };
        let again = join(&invitation, &Host::new("web.1", "web"), dir.path());
        assert!(matches!(again, Err(MembershipError::Joined { .. })));
    }
}
