//! `perfwatch user`: accounts from the command line, with the server running or not.

use std::path::Path;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use super::{BCRYPT_COST, data_dir};
use crate::auth::accounts;
use crate::auth::audit;
use crate::auth::passwords::Passwords;
use crate::config::Config;
use crate::snapshot::rfc3339;
use crate::store::access::AuditEntry;
use crate::store::{self, Store, User};

#[derive(Debug)]
pub enum UserCommand {
    Add { name: String, role: String, password: String },
    Password { name: String, password: String },
    Delete { name: String },
    List,
}

/// Does what is asked and returns what to tell.
pub async fn user(config: &Config, command: UserCommand) -> Result<String> {
    let dir = &config.storage.data_dir;
    data_dir::prepare(dir).with_context(|| format!("cannot use the data directory {}", dir.display()))?;
    let url = config.storage.database_url.clone().unwrap_or_else(|| store::sqlite_url(dir));
    let store = store::open(&url).await.context("cannot open the store")?;
    let told = obey(&*store, dir, command).await;
    store.close().await;
    told
}

async fn obey(store: &dyn Store, data_dir: &Path, command: UserCommand) -> Result<String> {
    let passwords = Passwords::new(BCRYPT_COST, 1);
    match command {
        UserCommand::Add { name, role, password } => {
            let user = accounts::add(store, &passwords, &name, &password, &role).await?;
            record(store, audit::USER_ADDED, &format!("{name} as {role}")).await?;
            Ok(format!("{} was added as {}", user.username, user.role))
        }
        UserCommand::Password { name, password } => {
            let user = find(store, &name).await?;
            accounts::set_password(store, &passwords, user.id, &password).await?;
            crate::auth::first::forget(data_dir, &name);
            record(store, audit::USER_CHANGED, &format!("{name}: password")).await?;
            Ok(format!("{name} has a new password; every login of that account has ended"))
        }
        UserCommand::Delete { name } => {
            accounts::delete(store, find(store, &name).await?.id).await?;
            record(store, audit::USER_DELETED, &name).await?;
            Ok(format!("{name} was deleted"))
        }
        UserCommand::List => Ok(list(&store.users().await?)),
    }
}

async fn find(store: &dyn Store, name: &str) -> Result<User> {
    match store.user_by_name(name).await? {
        Some(user) => Ok(user),
        None => bail!("there is no user {name:?}"),
    }
}

fn list(users: &[User]) -> String {
    let width = users.iter().map(|user| user.username.chars().count()).max().unwrap_or(0).max(4);
    let mut lines = vec![format!("{:width$}  {:6}  last login", "name", "role")];
    lines.extend(users.iter().map(|user| {
        let last = user.last_login.map_or_else(|| "never".to_owned(), rfc3339);
        format!("{:width$}  {:6}  {last}", user.username, user.role)
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
    store.record_audit(&entry).await.context("the change is made, but the audit log was not written")
}
