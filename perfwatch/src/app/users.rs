//! `perfwatch user`: manages accounts from the command line, whether or not the server is running.

use std::path::Path;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use super::{BCRYPT_COST, data_dir};
use crate::auth::accounts::{self, AccountError};
use crate::auth::audit;
use crate::auth::passwords::Passwords;
use crate::config::Config;
use crate::snapshot::rfc3339;
use crate::store::access::AuditEntry;
use crate::store::{self, Store, StoreError, User};

#[derive(Debug)]
pub enum UserCommand {
    Add {
        name: String,
        role: String,
        hosts: String,
        password: String,
    },
    /// Labels of the hosts that it sees.
    Hosts {
        name: String,
        hosts: String,
    },
    Password {
        name: String,
        password: String,
    },
    Delete {
        name: String,
    },
    List,
}

/// Runs the command and returns what to print.
pub async fn user(config: &Config, command: UserCommand) -> Result<String> {
    let dir = &config.storage.data_dir;
    let url = super::place(config).url;
    if matches!(command, UserCommand::Add { .. }) {
        data_dir::prepare(dir)?;
    } else if let Some(path) = store::sqlite_path(&url)
        && !path.try_exists().with_context(|| format!("cannot access {}", path.display()))?
    {
        // Opening it would create it; a mistyped path must not look like a store without accounts.
        bail!(
            "there is no database at {}; set PERFWATCH_DATA_DIR or DATABASE_URL to those of the server, or start one \
             with `perfwatch serve`, which creates the database and the first account",
            path.display()
        );
    }
    let store = store::open(&url).await.context("cannot open the database")?;
    // An unreachable server shows up here, not when opening the store.
    store.ping().await.context("DATABASE_URL")?;
    let done = run(&*store, dir, command).await;
    store.close().await;
    done
}

async fn run(store: &dyn Store, data_dir: &Path, command: UserCommand) -> Result<String> {
    let passwords = Passwords::new(BCRYPT_COST, 1);
    match command {
        UserCommand::Add { name, role, hosts, password } => {
            let added = accounts::add(store, &passwords, &name, &password, &role, &hosts).await;
            if matches!(added, Err(AccountError::Store(StoreError::Conflict(_)))) {
                bail!("user {name:?} already exists; `perfwatch user passwd` changes its password");
            }
            let user = added?;
            record(store, audit::USER_ADDED, &format!("{name} as {role}")).await?;
            Ok(format!("Added {} as {}", user.username, user.role))
        }
        UserCommand::Password { name, password } => {
            let user = find(store, &name).await?;
            accounts::set_password(store, &passwords, user.id, &password).await?;
            crate::auth::first::forget(data_dir, &name);
            record(store, audit::USER_CHANGED, &format!("{name}: password")).await?;
            Ok(format!("Changed the password of {name} and signed out all sessions of that account"))
        }
        UserCommand::Hosts { name, hosts } => {
            let user = find(store, &name).await?;
            let hosts = accounts::check_hosts(&hosts, &user.role)?;
            store.set_hosts(user.id, &hosts).await?;
            record(store, audit::USER_CHANGED, &format!("{name}: hosts {hosts}")).await?;
            let shown = if hosts.is_empty() { "all hosts".to_owned() } else { format!("hosts with {hosts}") };
            Ok(format!("{name} sees {shown}, and is signed out everywhere"))
        }
        UserCommand::Delete { name } => {
            accounts::delete(store, find(store, &name).await?.id).await?;
            record(store, audit::USER_DELETED, &name).await?;
            Ok(format!("Deleted {name}"))
        }
        UserCommand::List => Ok(list(&store.users().await?)),
    }
}

async fn find(store: &dyn Store, name: &str) -> Result<User> {
    match store.user_by_name(name).await? {
        Some(user) => Ok(user),
        None => bail!("there is no user {name:?}; `perfwatch user list` shows all"),
    }
}

fn list(users: &[User]) -> String {
    let width = users.iter().map(|user| user.username.chars().count()).max().unwrap_or(0).max(4);
    let mut lines = vec![format!("{:width$}  {:6}  {:28}  hosts", "name", "role", "last sign-in")];
    lines.extend(users.iter().map(|user| {
        let last = user.last_login.map_or_else(|| "never".to_owned(), rfc3339);
        let hosts = if user.hosts.is_empty() { "all" } else { &user.hosts };
        format!("{:width$}  {:6}  {last:28}  {hosts}", user.username, user.role)
    }));
    lines.join("\n")
}

async fn record(store: &dyn Store, action: &str, detail: &str) -> Result<()> {
    let entry = AuditEntry {
        id: 0,
        at: OffsetDateTime::now_utc(),
        username: format!("(uid {})", rustix::process::getuid().as_raw()),
        address: "command line".into(),
        action: action.into(),
        detail: detail.into(),
    };
    store
        .record_audit(&entry)
        .await
        .context("the change was made, but could not be recorded in the audit log")
}
