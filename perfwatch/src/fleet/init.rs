//! `perfwatch fleet init`: everything that a NATS server and hubs need for machines to join: an operator, two accounts, a
//! configuration of the server.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::jwt::{SigningError, sign};
use super::keys::{Keys, KeysError};

/// Of the files.
pub const HUB_KEYS: &str = "hub.keys";
pub const CONFIGURATION: &str = "nats.conf";
const OPERATOR_SEED: &str = "operator.seed";
const HUB_CREDENTIALS: &str = "hub.creds";
/// A packet of a busy machine's ten minutes of profiles exceeds NATS's own limit, 1 MiB.
const MAX_PAYLOAD: &str = "8MB";

/// Where the server is.
#[derive(Debug, Clone)]
pub struct Server {
    /// Such as `0.0.0.0:4222`.
    pub listen: String,
    /// For JetStream and the accounts' JWTs.
    pub store_dir: PathBuf,
    /// Its certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, std::io::Error),
    #[error("{0} has a part of what a fleet needs, from an attempt that was cut short: remove it")]
    Partial(PathBuf),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("cannot make a key: {0}")]
    Key(nkeys::error::Error),
}

/// Makes the files. `false`: they are there already and stay as they are.
pub fn init(dir: &Path, server: &Server, now: i64) -> Result<bool, InitError> {
    if dir.join(CONFIGURATION).exists() {
        return Ok(false);
    }
    if dir.join(HUB_KEYS).exists() || dir.join(OPERATOR_SEED).exists() {
        return Err(InitError::Partial(dir.to_owned()));
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| InitError::Write(dir.to_owned(), error))?;
    let [operator, operator_signing] = [(); 2].map(|()| KeyPair::new_operator());
    let [account, account_signing, system, system_signing] = [(); 4].map(|()| KeyPair::new_account());
    let seed = |key: &KeyPair| key.seed().map_err(InitError::Key);
    let nats = json!({
        "type": "operator", "version": 2, "signing_keys": [operator_signing.public_key()],
        "system_account": system.public_key(),
    });
    let operator_jwt = sign(&operator, &operator.public_key(), "perfwatch", now, &nats)?;
    let signed = |account: &KeyPair, signing: &KeyPair, name: &str, storage: i64| {
        let nats = account_claims(&signing.public_key(), storage);
        sign(&operator_signing, &account.public_key(), name, now, &nats)
    };
    let account_jwt = signed(&account, &account_signing, "perfwatch", -1)?;
    // The system account can't have JetStream.
    let system_jwt = signed(&system, &system_signing, "system", 0)?;
    let keys = Keys {
        operator_seed: seed(&operator_signing)?,
        account: account.public_key(),
        account_seed: seed(&account_signing)?,
        system_account: system.public_key(),
        system_seed: seed(&system_signing)?,
    };
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written =
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| InitError::Write(path, error))
    };
    write(OPERATOR_SEED, seed(&operator)? + "\n")?;
    write(HUB_CREDENTIALS, keys.hub_user(now)?)?;
    write(HUB_KEYS, format!("{}\n", json!(keys)))?;
    let accounts = [(system.public_key(), system_jwt), (account.public_key(), account_jwt)];
    // Last: that it is there says that all is.
    write(CONFIGURATION, configuration(server, &operator_jwt, &system.public_key(), &accounts))?;
    Ok(true)
}

fn account_claims(signing_key: &str, storage: i64) -> Value {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
    });
    json!({"type": "account", "version": 2, "limits": limits, "signing_keys": [signing_key]})
}

fn configuration(server: &Server, operator: &str, system: &str, accounts: &[(String, String)]) -> String {
    let quoted = |path: PathBuf| json!(path.to_string_lossy()).to_string();
    let tls = server.tls.as_ref().map_or(String::new(), |(certificate, key)| {
        format!("tls {{ cert_file: {}, key_file: {} }}\n", quoted(certificate.clone()), quoted(key.clone()))
    });
    let accounts: String = accounts.iter().map(|(key, jwt)| format!("    {key}: {jwt}\n")).collect();
    format!(
        "# NATS for a fleet of PerfWatch, as made by `perfwatch fleet init`; add what else you need.\n\
         listen: {listen:?}\n\
         max_payload: {MAX_PAYLOAD}\n\
         {tls}\
         jetstream {{ store_dir: {streams} }}\n\n\
         operator: {operator}\n\
         system_account: {system}\n\
         # Hubs revoke machines by changing the account, which the server keeps here.\n\
         resolver {{ type: full, dir: {jwts}, allow_delete: false, interval: \"2m\" }}\n\
         resolver_preload {{\n{accounts}}}\n",
        listen = server.listen,
        streams = quoted(server.store_dir.clone()),
        jwts = quoted(server.store_dir.join("jwt")),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_attempt_changes_nothing_and_secrets_are_their_owner_s() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("fleet");
        let server = Server { listen: "127.0.0.1:4222".into(), store_dir: "/var/lib/nats".into(), tls: None };
        assert!(init(&dir, &server, 1).unwrap());
        let keys = std::fs::read_to_string(dir.join(HUB_KEYS)).unwrap();
        Keys::parse(&keys).unwrap();
        assert!(!init(&dir, &server, 2).unwrap());
        assert_eq!(std::fs::read_to_string(dir.join(HUB_KEYS)).unwrap(), keys);
        for file in std::fs::read_dir(&dir).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::remove_file(dir.join(CONFIGURATION)).unwrap();
        assert!(matches!(init(&dir, &server, 3), Err(InitError::Partial(_))));
    }
}
