//! The connection to NATS: kept up by the client library, which also finds the other servers of a cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, ConnectOptions, Event, ServerAddr, ServerError};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;

use super::keys::{Keys, KeysError};
use super::protocol::inbox_of;
use crate::config;
use crate::host::Host;

/// Pause between two looks at a connection that is down.
const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    // What the URL is may contain a password.
    #[error("PERFWATCH_FLEET_URL does not name NATS servers")]
    Url,
    #[error("PERFWATCH_FLEET_CREDENTIALS: {0}")]
    Credentials(std::io::Error),
    #[error("PERFWATCH_FLEET_CA: {0}")]
    Authorities(std::io::Error),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot connect to NATS: {0}")]
    Nats(#[from] async_nats::ConnectError),
}

/// A hub's connection. Returns at once: it is made, and made again, in the background.
pub(super) async fn connect(fleet: &config::Fleet, name: &str) -> Result<Client, ConnectError> {
    let options = match &fleet.keys {
        Some(keys) if fleet.credentials.is_none() => {
            let user = Keys::parse(keys)?.hub_user(now())?;
            ConnectOptions::with_credentials(&user).map_err(ConnectError::Credentials)?
        }
        _ => ConnectOptions::new(),
    };
    connect_with(options, fleet, name).await
}

/// A machine's: its replies come where no other may read them.
pub(super) async fn connect_machine(fleet: &config::Fleet, host: &Host) -> Result<Client, ConnectError> {
    let options = ConnectOptions::new().custom_inbox_prefix(inbox_of(&host.id));
    connect_with(options, fleet, &format!("perfwatch {}", host.name)).await
}

/// A hub's connection to the system account, where accounts are changed.
pub(super) async fn connect_system(fleet: &config::Fleet, keys: &Keys) -> Result<Client, ConnectError> {
    let user = keys.system_user(now())?;
    let options = ConnectOptions::with_credentials(&user).map_err(ConnectError::Credentials)?;
    let fleet = config::Fleet { credentials: None, ..fleet.clone() };
    connect_with(options, &fleet, "perfwatch hub").await
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

async fn connect_with(
    options: ConnectOptions,
    fleet: &config::Fleet,
    name: &str,
) -> Result<Client, ConnectError> {
    let servers: Result<Vec<ServerAddr>, _> = fleet.servers.iter().map(|server| server.parse()).collect();
    let servers = servers.map_err(|_| ConnectError::Url)?;
    let told = Arc::new(Mutex::new(String::new()));
    let mut options = options.name(name).retry_on_initial_connect().event_callback(move |event| {
        tell(&told, &event);
        std::future::ready(())
    });
    // The library reads them, but does not use them.
    if let Some((user, password)) = servers.iter().find_map(login_of) {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = &fleet.credentials {
        options = options.credentials_file(file).await.map_err(ConnectError::Credentials)?;
    }
    if let Some(ca) = &fleet.ca {
        // The library tells what is wrong with it at each attempt only.
        tokio::fs::metadata(ca).await.map_err(ConnectError::Authorities)?;
        options = options.add_root_certificates(ca.clone());
    }
    Ok(options.connect(servers).await?)
}

/// The user and the password in a URL.
fn login_of(server: &ServerAddr) -> Option<(String, String)> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decoded(server.username()?), decoded(server.password().unwrap_or_default())))
}

/// Completes once the connection is up.
pub(super) async fn connected(client: &Client) {
    while client.connection_state() != State::Connected {
        tokio::time::sleep(POLL).await;
    }
}

/// Logs each state once, however many attempts it takes.
fn tell(told: &Mutex<String>, event: &Event) {
    let text = event.to_string();
    if std::mem::replace(&mut *told.lock().unwrap_or_else(PoisonError::into_inner), text.clone()) == text {
        return;
    }
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; trying again"),
        event if is_refusal(event) => {
            tracing::error!(
                "NATS does not let this machine in: its credentials are unknown there, or revoked"
            );
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS cannot be reached; trying again"),
        other => tracing::debug!(%other, "NATS"),
    }
}

/// Whether NATS does not take the credentials: of a connection that it ends, or of an attempt to make one.
fn is_refusal(event: &Event) -> bool {
    match event {
        Event::ServerError(ServerError::AuthorizationViolation) => true,
        Event::ServerError(ServerError::Other(why)) | Event::ClientError(ClientError::Other(why)) => {
            let why = why.to_lowercase();
            why.contains("authorization violation") || why.contains("authentication revoked")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_machine_is_told_apart_from_one_without_a_network() {
        let server = |why: &str| Event::ServerError(ServerError::Other(why.into()));
        let client = |why: &str| Event::ClientError(ClientError::Other(why.into()));
        assert!(is_refusal(&Event::ServerError(ServerError::AuthorizationViolation)));
        assert!(is_refusal(&server("User Authentication Revoked")));
        assert!(is_refusal(&client("authorization violation")));
        assert!(!is_refusal(&client("IO error")) && !is_refusal(&server("maximum payload exceeded")));
    }

    #[test]
    fn a_login_is_read_from_a_url() {
        let login = |url: &str| login_of(&url.parse().unwrap());
        assert_eq!(login("nats://a"), None);
        assert_eq!(login("tls://u:p%40s%2Fs@a:1"), Some(("u".to_owned(), "p@s/s".to_owned())));
    }
}
