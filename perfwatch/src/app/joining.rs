//! Joining a fleet: `perfwatch join` and the settings that do the same, `perfwatch fleet init` and `perfwatch fleet token`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use super::{data_dir, place};
use crate::auth::audit;
use crate::config::{self, Config};
use crate::fleet::hub::members;
use crate::fleet::init::{self, CONFIGURATION, HUB_KEYS, Server};
use crate::fleet::membership::{self, Invitation, MembershipError};
use crate::host::{self, Host};
use crate::snapshot::rfc3339;
use crate::store;
use crate::store::access::AuditEntry;

/// Between two attempts to reach a hub.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The fleet that this machine belongs to: the configured one, or the one that it has joined. Joins if the settings say so;
/// where the hub can't be reached, an agent waits for it, and a server starts without.
pub(super) async fn fleet(config: &Config, host: &Host, waits: bool) -> Result<Option<config::Fleet>> {
    if config.fleet.is_some() {
        return Ok(config.fleet.clone());
    }
    let load = || membership::load(&config.storage.data_dir, &host.id, config.joining.outbox_max_bytes);
    if let Some(fleet) = load()? {
        return Ok(Some(fleet));
    }
    let (Some(url), Some(token)) = (&config.joining.url, &config.joining.token) else {
        return Ok(None);
    };
    let mut is_told = false;
    loop {
        match join(config, host, url, token, config.joining.allow_http).await {
            Ok(()) => return Ok(load()?),
            Err(error @ MembershipError::Unreachable(..)) if waits => {
                if !is_told {
                    tracing::warn!(%error, "cannot join the fleet yet; trying again");
                }
                is_told = true;
            }
            Err(error @ MembershipError::Unreachable(..)) => {
                tracing::error!(%error, "cannot join the fleet; the next start tries again");
                return Ok(None);
            }
            Err(error) => return Err(error).context("PERFWATCH_JOIN_URL"),
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

async fn join(
    config: &Config,
    host: &Host,
    url: &str,
    token: &str,
    allow_http: bool,
) -> Result<(), MembershipError> {
    let (url, token) = (url.to_owned(), token.to_owned());
    let (host, data_dir) = (host.clone(), config.storage.data_dir.clone());
    let asking = tokio::task::spawn_blocking(move || {
        membership::join(&Invitation { url: &url, token: &token, allow_http }, &host, &data_dir)
    });
    asking.await.unwrap_or_else(|error| Err(MembershipError::NotAHub(error.to_string())))
}

/// `perfwatch join`: returns what to print.
pub async fn join_fleet(config: &Config, url: &str, token: &str) -> Result<String> {
    data_dir::prepare(&config.storage.data_dir)?;
    let host = host::this(config)?;
    join(config, &host, url, token, config.joining.allow_http).await?;
    let by_hand = match config.fleet {
        Some(_) => "\nPERFWATCH_FLEET_URL is set, too, and would be used instead: remove it.",
        None => "",
    };
    Ok(format!(
        "{} has joined the fleet as {}.\n\
         Next: sudo systemctl restart perfwatch, or perfwatch agent where no page is wanted.{by_hand}",
        host.name, host.id
    ))
}

/// `perfwatch fleet init`: returns what to print.
pub fn init_fleet(dir: &Path, server: &Server) -> Result<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    if !init::init(dir, server, OffsetDateTime::now_utc().unix_timestamp())? {
        return Ok(format!("{} is there already; nothing was changed.", file(CONFIGURATION)));
    }
    Ok(format!(
        "Made in {dir}:\n\
         {CONFIGURATION}      for the NATS server: nats-server -c {configuration}\n\
         {HUB_KEYS}       for each hub: PERFWATCH_FLEET_KEYS_FILE={keys}\n\
         hub.creds      for NATS's own tools: nats --creds {creds} stream ls\n\
         operator.seed  for nobody: the others are signed with it; keep it off the network",
        dir = dir.display(),
        configuration = file(CONFIGURATION),
        keys = file(HUB_KEYS),
        creds = file("hub.creds"),
    ))
}

/// `perfwatch fleet token`: a token that lets one machine join, into a file if one is named.
pub async fn fleet_token(config: &Config, lifetime: Duration, file: Option<&Path>) -> Result<String> {
    let url = place(config).url;
    if let Some(path) = store::sqlite_path(&url)
        && !path.exists()
    {
        bail!(
            "there is no database at {}; set PERFWATCH_DATA_DIR or DATABASE_URL to those of the hub",
            path.display()
        );
    }
    let store = store::open(&url).await.context("cannot open the database")?;
    let author = format!("(uid {})", rustix::process::getuid().as_raw());
    let (token, expires_at) = members::invite(&*store, &author, lifetime).await.context("DATABASE_URL")?;
    let entry = AuditEntry {
        id: 0,
        at: OffsetDateTime::now_utc(),
        username: author,
        address: "command line".into(),
        action: audit::JOIN_TOKEN_CREATED.into(),
        detail: format!("until {}", rfc3339(expires_at)),
    };
    store.record_audit(&entry).await.context("cannot write to the audit log")?;
    store.close().await;
    let Some(path) = file else { return Ok(token) };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut out = options.open(path).with_context(|| path.display().to_string())?;
    writeln!(out, "{token}").with_context(|| path.display().to_string())?;
    Ok(format!("A token is in {} until {}", path.display(), rfc3339(expires_at)))
}
