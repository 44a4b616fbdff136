//! The first account: from the configuration, or with a random password shown once.

use std::path::{Path, PathBuf};

use super::accounts::{self, AccountError};
use super::passwords::{PasswordError, Passwords};
use super::{ADMIN, private_file};
use crate::store::{AccountStore, StoreError};

/// Where a generated first password is stored, in the data directory, until it is changed.
pub const PASSWORD_FILE: &str = "first-password";

/// Easy to read aloud: no 0/O, 1/l/I.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LENGTH: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error(
        "ADMIN_PASSWORD is too easy to guess for a server that others can reach; choose another, or listen on 127.0.0.1 without a proxy, TLS or other origins"
    )]
    Weak,
    #[error(
        "the account {0:?} still has the easily guessed ADMIN_PASSWORD, and others can reach this server: change it with perfwatch user passwd"
    )]
    StillWeak(String),
    #[error("ADMIN_USERNAME: {0}")]
    Name(#[from] AccountError),
    #[error("ADMIN_PASSWORD: {0}")]
    Password(PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write {path}: {error}", path = path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("cannot get random numbers: {0}")]
    Random(String),
}

/// How the first account was created.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// An administrator exists already; nothing was changed.
    Exists,
    /// With the configured password. `weak`: warn about it.
    Configured { weak: bool },
    /// With a random password, to be printed once; also stored in the file.
    Generated { password: String, file: PathBuf },
}

/// Creates the first account if there is no administrator yet, whatever its name. `is_public`: the server is
/// reachable from other machines.
pub async fn ensure(
    store: &dyn AccountStore,
    passwords: &Passwords,
    data_dir: &Path,
    username: &str,
    configured: Option<&str>,
    is_public: bool,
) -> Result<First, FirstError> {
    let users = store.users().await?;
    if users.iter().any(|user| user.role == ADMIN) {
        // Possibly created while the server was reachable only from this machine.
        if let Some(password) = configured.filter(|password| is_public && is_weak(password, username))
            && let Some(user) = users.into_iter().find(|user| user.username == username)
            && passwords
                .verify(Some(password), Some(user.password_hash))
                .await
                .map_err(FirstError::Password)?
        {
            return Err(FirstError::StillWeak(user.username));
        }
        return Ok(First::Exists);
    }
    accounts::check_name(username)?;
    if let Some(password) = configured {
        let weak = is_weak(password, username);
        if weak && is_public {
            return Err(FirstError::Weak);
        }
        let hash = passwords.hash(password).await.map_err(FirstError::Password)?;
        store.create_user(username, &hash, ADMIN).await?;
        return Ok(First::Configured { weak });
    }
    let password = random_password()?;
    let hash = passwords.hash(&password).await.map_err(FirstError::Password)?;
    let file = data_dir.join(PASSWORD_FILE);
    // The file comes first: an account whose password nobody knows would be worse than a stale file.
    private_file::write(&file, format!("{username} {password}\n").as_bytes())
        .map_err(|error| FirstError::File { path: file.clone(), error })?;
    store.create_user(username, &hash, ADMIN).await?;
    Ok(First::Generated { password, file })
}

/// Removes the file with the first password once that account has another.
pub fn forget(data_dir: &Path, username: &str) {
    let file = data_dir.join(PASSWORD_FILE);
    let is_theirs = std::fs::read_to_string(&file)
        .is_ok_and(|text| text.strip_prefix(username).is_some_and(|rest| rest.starts_with(' ')));
    if is_theirs && let Err(error) = std::fs::remove_file(&file) {
        tracing::warn!(file = %file.display(), %error, "cannot remove the file with the old first password");
    }
}

/// Whether an attacker would try it first.
pub fn is_weak(password: &str, username: &str) -> bool {
    const GUESSED: [&str; 12] = [
        "admin",
        "password",
        "passwort",
        "perfwatch",
        "changeme",
        "letmein",
        "secret",
        "welcome",
        "qwerty",
        "iloveyou",
        "postgres",
        "root",
    ];
    let lower = password.to_lowercase();
    let word = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    let distinct = lower.chars().collect::<std::collections::BTreeSet<_>>().len();
    word.is_empty() || GUESSED.contains(&word) || word == username.to_lowercase() || distinct < 5
}

fn random_password() -> Result<String, FirstError> {
    let mut bytes = [0u8; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| FirstError::Random(error.to_string()))?;
    // 32 letters divide 256 evenly, so each is equally likely: 100 bits in all.
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessable_passwords_are_known() {
        for weak in
            ["admin123", "Admin123!", "password", "12345678", "aaaaaaaa", "root", "PerfWatch1", "boss42"]
        {
            assert!(is_weak(weak, "boss"), "{weak}");
        }
        for strong in ["correct horse battery", "kx83-admin-tail", "xq7!mPz2"] {
            assert!(!is_weak(strong, "boss"), "{strong}");
        }
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let (a, b) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), LENGTH);
        assert!(!is_weak(&a, "admin"));
    }

    #[test]
    fn only_the_owners_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(PASSWORD_FILE);
        std::fs::write(&file, "admin secret\n").unwrap();
        forget(dir.path(), "adm");
        forget(dir.path(), "someone");
        assert!(file.exists());
        forget(dir.path(), "admin");
        assert!(!file.exists());
    }
}
