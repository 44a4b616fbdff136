//! All channels and where each comes from: settings, a file, or the API; and how each is doing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::channel::check::problems;
use super::channel::{Channel, Secret, Secrets};
use super::compile::Problem;
use super::file::At;
use super::message::Place;
use super::send::Sender;
use super::vault::Vault;
use crate::store::deliveries::StoredChannel;
use crate::store::{Result, Store};

/// Channels made over the API.
pub const MAX_STORED: usize = 50;
/// A file with a secret has one line.
const MAX_SECRET_FILE: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Settings,
    /// Locked: only the file changes it.
    File(PathBuf, usize),
    /// By whom, and when, µs.
    Stored(String, i64),
}

/// A channel as listed. Its definition has no secrets.
#[derive(Debug, Clone)]
pub struct Listed {
    pub channel: Channel,
    pub secrets: Secrets,
    pub origin: Origin,
    pub problems: Vec<Problem>,
    /// It must not reach addresses inside this network.
    pub is_limited: bool,
}

impl Listed {
    pub const fn is_usable(&self) -> bool {
        !self.channel.off && self.problems.is_empty()
    }
}

/// How a channel is doing since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the last attempt failed; `None` if it succeeded.
    pub failing: Option<String>,
    /// µs.
    pub delivered_at: Option<i64>,
    /// Its limit is reached: what follows is told together.
    pub is_held: bool,
}

/// What the server sets.
#[derive(Debug, Clone)]
pub struct Options {
    /// Channels of the settings, with their secrets.
    pub given: Vec<Channel>,
    /// Secrets of channels are sealed with a key derived from this.
    pub secret: Vec<u8>,
    /// Channels made over the API may reach addresses inside this network.
    pub allow_private: bool,
    pub place: Place,
    /// For a request.
    pub timeout: Duration,
    /// Certificates that are trusted besides the system's.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            secret: Vec::new(),
            allow_private: false,
            place: Place::default(),
            timeout: Duration::from_secs(10),
            certificates: Vec::new(),
        }
    }
}

/// The channels. Clones share them.
#[derive(Debug, Clone)]
pub struct Channels(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    given: Vec<Channel>,
    vault: Vault,
    allow_private: bool,
    place: Place,
    sender: Sender,
    /// `None` until they were read.
    listed: RwLock<Option<Arc<Vec<Listed>>>>,
    health: Mutex<HashMap<String, Health>>,
    testing: Arc<Semaphore>,
}

impl Channels {
    pub fn new(options: Options) -> Self {
        let sender = Sender::new(options.timeout, &options.certificates);
        Self(Arc::new(Shared {
            given: options.given,
            vault: Vault::new(&options.secret),
            allow_private: options.allow_private,
            place: options.place,
            sender,
            listed: RwLock::default(),
            health: Mutex::default(),
            testing: Arc::new(Semaphore::new(1)),
        }))
    }

    pub fn place(&self) -> &Place {
        &self.0.place
    }

    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// By name; `None` until they were read.
    pub fn listed(&self) -> Option<Arc<Vec<Listed>>> {
        self.0.listed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The right to test; `None` while another test is running.
    pub fn testing(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.testing).try_acquire_owned().ok()
    }

    pub fn health(&self) -> MutexGuard<'_, HashMap<String, Health>> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all channels again. Files and settings take the place of what is stored.
    pub async fn reload(&self, store: &dyn Store, files: Vec<(PathBuf, At<Channel>)>) -> Result<()> {
        let mut all: Vec<Listed> = Vec::new();
        for channel in &self.0.given {
            all.push(listed(channel.clone(), Origin::Settings));
        }
        for (path, at) in files {
            if !all.iter().any(|known| known.channel.name == at.what.name) {
                all.push(listed(at.what, Origin::File(path, at.line)));
            }
        }
        for stored in store.alert_channels().await? {
            if !all.iter().any(|known| known.channel.name == stored.name) {
                all.push(self.stored(&stored));
            }
        }
        all.sort_by(|a, b| a.channel.name.cmp(&b.channel.name));
        for of in &all {
            for Problem { key, message } in &of.problems {
                tracing::error!(
                    channel = of.channel.name,
                    key,
                    message,
                    "a channel of alerts cannot be used"
                );
            }
        }
        self.health().retain(|name, _| all.iter().any(|known| known.channel.name == *name));
        *self.0.listed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(all));
        Ok(())
    }

    fn stored(&self, stored: &StoredChannel) -> Listed {
        let origin = Origin::Stored(stored.updated_by.clone(), stored.updated_at);
        let unreadable = |message: &str| Listed {
            channel: Channel { name: stored.name.clone(), ..Channel::default() },
            secrets: Secrets::default(),
            origin: origin.clone(),
            problems: vec![Problem { key: "name", message: message.to_owned() }],
            is_limited: true,
        };
        let Ok(channel) = serde_json::from_str::<Channel>(&stored.definition) else {
            return unreadable("what is stored of it cannot be read; make it again");
        };
        let opened = self.0.vault.open(&stored.name, &stored.secrets);
        let Some(secrets) = opened.and_then(|json| serde_json::from_str::<Secrets>(&json).ok()) else {
            let lost = "its secrets cannot be read, as the server's own secret has changed; set them again";
            return Listed { channel, ..unreadable(lost) };
        };
        let problems = problems(&channel, &secrets);
        Listed { channel, secrets, origin, problems, is_limited: !self.0.allow_private }
    }

    /// As it is stored; `None`: there are no random numbers.
    pub fn sealed(&self, channel: &Channel, secrets: &Secrets, by: &str, at: i64) -> Option<StoredChannel> {
        let json = serde_json::to_string(secrets).ok()?;
        Some(StoredChannel {
            name: channel.name.clone(),
            definition: serde_json::to_string(channel).ok()?,
            secrets: self.0.vault.seal(&channel.name, &json)?,
            updated_by: by.to_owned(),
            updated_at: at,
        })
    }
}

/// A channel of settings or a file, with its secrets.
fn listed(mut channel: Channel, origin: Origin) -> Listed {
    let (secrets, unread) = secrets(&mut channel);
    let problems = match unread.is_empty() {
        true => problems(&channel, &secrets),
        false => unread,
    };
    Listed { channel, secrets, origin, problems, is_limited: false }
}

/// Takes the secrets out of a channel, those in files, too.
fn secrets(channel: &mut Channel) -> (Secrets, Vec<Problem>) {
    let given = channel.take_secrets();
    let mut read = Secrets::default();
    let mut unread = Vec::new();
    for (key, path) in channel.secret_files() {
        match read_secret(path) {
            Ok(secret) => match key {
                "url" => read.url = Some(secret),
                "token" => read.token = Some(secret),
                "key" => read.key = Some(secret),
                _ => read.password = Some(secret),
            },
            Err(error) => {
                unread.push(Problem { key, message: format!("{} cannot be read: {error}", path.display()) });
            }
        }
    }
    (given.or(read), unread)
}

fn read_secret(path: &Path) -> std::io::Result<Secret> {
    if std::fs::metadata(path)?.len() > MAX_SECRET_FILE {
        return Err(std::io::Error::other("it is too large for a secret"));
    }
    Ok(Secret::new(std::fs::read_to_string(path)?.trim()))
}

/// What is wrong with a channel of a file.
pub fn problems_of_file(channel: &Channel) -> Vec<Problem> {
    listed(channel.clone(), Origin::Settings).problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::channel::Kind;
    use crate::alerts::period::Period;
    use crate::alerts::watched::Watched;
    use crate::store;

    fn channel(text: &str) -> Channel {
        toml::from_str(text).unwrap()
    }

    async fn opened(channels: &Channels, dir: &Path, store: &dyn Store) -> Arc<Vec<Listed>> {
        let mut files = Watched::new(dir.to_owned());
        files.read(Period::seconds(0));
        channels.reload(store, files.channels().to_vec()).await.unwrap();
        channels.listed().unwrap()
    }

    #[tokio::test]
    async fn settings_and_files_come_before_the_api_and_secrets_are_sealed() {
        let data = tempfile::tempdir().unwrap();
        let store = store::open(&store::sqlite_url(data.path())).await.unwrap();
        let dir = data.path().join("alerts.d");
        std::fs::create_dir(&dir).unwrap();
        let given = channel("name = \"webhook\"\nkind = \"webhook\"\nurl = \"https://a.example\"");
        let options = Options { given: vec![given], secret: vec![1; 32], ..Options::default() };
        let channels = Channels::new(options.clone());
        assert!(channels.listed().is_none());
        for name in ["mine", "webhook", "of-file"] {
            let mut made = channel(&format!(
                "name = \"{name}\"\nkind = \"slack\"\nurl = \"https://b.example/hunter22\""
            ));
            let secrets = made.take_secrets();
            let sealed = channels.sealed(&made, &secrets, "ann", 5).unwrap();
            assert!(!format!("{}{}{sealed:?}", sealed.definition, sealed.secrets).contains("hunter22"));
            store.put_alert_channel(&sealed).await.unwrap();
        }
        std::fs::write(data.path().join("url"), "https://c.example/x\n").unwrap();
        let file = format!(
            "[[channel]]\nname = \"of-file\"\nkind = \"slack\"\nurl_file = \"{}/url\"\n",
            data.path().display()
        );
        std::fs::write(dir.join("a.toml"), file).unwrap();
        let listed = opened(&channels, &dir, &*store).await;
        let of = |n: usize| {
            (listed[n].channel.name.as_str(), &listed[n].origin, listed[n].is_limited, listed[n].is_usable())
        };
        assert_eq!(of(0), ("mine", &Origin::Stored("ann".into(), 5), true, true));
        assert_eq!(of(1), ("of-file", &Origin::File(dir.join("a.toml"), 1), false, true));
        assert_eq!(of(2), ("webhook", &Origin::Settings, false, true));
        assert_eq!(listed[0].secrets.get("url"), Some("https://b.example/hunter22"));
        assert_eq!(listed[1].secrets.get("url"), Some("https://c.example/x"));
        assert_eq!((listed[0].channel.kind, listed[2].channel.kind), (Kind::Slack, Kind::Webhook));

        let other = Channels::new(Options { secret: vec![2; 32], ..options });
        let listed = opened(&other, &dir, &*store).await;
        assert!(!listed[0].is_usable() && listed[0].problems[0].message.contains("set them again"));
    }
}
