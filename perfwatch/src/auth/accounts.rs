//! Adding, changing and removing accounts, for the API and the command line.

use super::passwords::{PasswordError, Passwords};
use super::{ADMIN, VIEWER, names};
use crate::config::labels::{LabelError, Selector};
use crate::store::{AccountStore, StoreError, User};

pub const MAX_NAME_CHARS: usize = 50;

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error(
        "a user name must have 1 to {MAX_NAME_CHARS} visible characters, each word in one script, without leading or trailing spaces"
    )]
    Name,
    #[error("the name could be mistaken for that of another account")]
    Alike,
    #[error("the role must be admin or viewer")]
    Role,
    #[error("{0}")]
    Hosts(LabelError),
    #[error("an administrator sees all hosts")]
    AdminSeesAll,
    #[error("there is no such user")]
    Unknown,
    #[error("cannot remove the last administrator")]
    LastAdmin,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub fn check_name(name: &str) -> Result<(), AccountError> {
    let length = name.chars().count();
    let fits = (1..=MAX_NAME_CHARS).contains(&length) && name.trim() == name;
    if fits && names::is_plain(name) { Ok(()) } else { Err(AccountError::Name) }
}

pub fn check_role(role: &str) -> Result<(), AccountError> {
    if role == ADMIN || role == VIEWER { Ok(()) } else { Err(AccountError::Role) }
}

/// Labels of hosts as they are stored.
pub fn check_hosts(hosts: &str, role: &str) -> Result<String, AccountError> {
    let hosts: Selector = hosts.parse().map_err(AccountError::Hosts)?;
    if role == ADMIN && !hosts.selects_all() {
        return Err(AccountError::AdminSeesAll);
    }
    Ok(hosts.to_string())
}

pub async fn add(
    store: &dyn AccountStore,
    passwords: &Passwords,
    name: &str,
    password: &str,
    role: &str,
    hosts: &str,
) -> Result<User, AccountError> {
    check_name(name)?;
    check_role(role)?;
    let hosts = check_hosts(hosts, role)?;
    // An identical name is refused by the store.
    let taken = |user: &User| user.username != name && names::are_alike(&user.username, name);
    if store.users().await?.iter().any(taken) {
        return Err(AccountError::Alike);
    }
    let hash = passwords.hash(password).await?;
    let user = store.create_user(name, &hash, role).await?;
    if hosts.is_empty() {
        return Ok(user);
    }
    // Nobody can sign in before the account is known to exist.
    store.set_hosts(user.id, &hosts).await?;
    store.user_by_id(user.id).await?.ok_or(AccountError::Unknown)
}

/// Also ends all sessions of the account.
pub async fn set_password(
    store: &dyn AccountStore,
    passwords: &Passwords,
    id: i64,
    password: &str,
) -> Result<(), AccountError> {
    let hash = passwords.hash(password).await?;
    store.user_by_id(id).await?.ok_or(AccountError::Unknown)?;
    store.set_password(id, &hash).await?;
    Ok(())
}

/// Also ends all sessions of the account.
pub async fn set_role(store: &dyn AccountStore, id: i64, role: &str) -> Result<(), AccountError> {
    check_role(role)?;
    store.user_by_id(id).await?.ok_or(AccountError::Unknown)?;
    if store.set_role(id, role, ADMIN).await? { Ok(()) } else { Err(AccountError::LastAdmin) }
}

pub async fn delete(store: &dyn AccountStore, id: i64) -> Result<(), AccountError> {
    store.user_by_id(id).await?.ok_or(AccountError::Unknown)?;
    if store.delete_user(id, ADMIN).await? { Ok(()) } else { Err(AccountError::LastAdmin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_deceive_are_refused() {
        for good in ["admin", "Jörg Müller", "a", "o'brien", &"x".repeat(50)] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            " admin",
            "admin ",
            "ad\nmin",
            "a\0",
            "\u{1b}[2J",
            "ad\u{202e}min",
            "ad\u{200b}min",
            &"x".repeat(51),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
