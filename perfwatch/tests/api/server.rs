//! A complete server on a random port, with a fresh store in its own directory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use perfwatch::alerts::channels;
use perfwatch::alerts::service::{Alerts, Running};
use perfwatch::api::serve::{Limits, Tls, serve};
use perfwatch::api::{AppState, Intervals, Options, Parts, app};
use perfwatch::auth::attempts::Attempts;
use perfwatch::auth::first::{self, First};
use perfwatch::auth::passwords::Passwords;
use perfwatch::auth::tokens::Tokens;
use perfwatch::auth::{ADMIN, Auth};
use perfwatch::cgroups::Names;
use perfwatch::history::History;
use perfwatch::history::maintenance::DocumentDays;
use perfwatch::history::writer::{LogPlace, Writer};
use perfwatch::host::Host;
use perfwatch::probes::ProcessLister;
use perfwatch::profiles::archive::Archive;
use perfwatch::snapshot::processes::listing::Lister;
use perfwatch::snapshot::source::{Settings, SourceSettings, SourceStatus};
use perfwatch::snapshot::{MetricType, Snapshot};
use perfwatch::store::watch::Watch;
use perfwatch::store::{self, Store};
use perfwatch::stream::Hub;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use crate::postgres::Cluster;
use crate::readings::reading;

pub const PASSWORD: &str = "kx83 admin tail";
pub const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

#[allow(non_camel_case_types)] // the names of the test modules
pub enum Engine {
    sqlite,
    postgresql,
}

pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    pub history: History,
    pub auth: Arc<Auth>,
    pub hub: Hub,
    pub intervals: Arc<Intervals>,
    pub alerts: Alerts,
    pub alerting: Running,
    pub source_status: SourceStatus,
    pub lister: Arc<ProcessLister>,
    pub settings: watch::Sender<Settings>,
    pub data: Arc<tempfile::TempDir>,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
    pub writer: Writer,
    http: reqwest::Client,
}

/// A new database in a cluster that all tests of this process share.
async fn postgresql() -> Option<String> {
    static CLUSTER: OnceCell<Result<Cluster, String>> = OnceCell::const_new();
    match CLUSTER.get_or_init(Cluster::start).await {
        Ok(cluster) => Some(cluster.database().await),
        Err(reason) => {
            let test = std::thread::current();
            println!("SKIPPED: {}: {reason}", test.name().unwrap_or("api"));
            None
        }
    }
}

pub struct Setup {
    pub options: Options,
    pub limits: Limits,
    pub tls: Option<Tls>,
    pub attempts_per_minute: u32,
    pub token_lifetime: Duration,
    /// The first account's password; `None` creates no account.
    pub admin: Option<&'static str>,
    /// Replaces the machine's processes.
    pub lister: Option<Arc<dyn Lister>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Options::default(),
            limits: Limits::default(),
            tls: None,
            attempts_per_minute: 10,
            token_lifetime: Duration::from_secs(86_400),
            admin: Some(PASSWORD),
            lister: None,
        }
    }
}

impl Server {
    pub async fn start(engine: Engine, setup: Setup) -> Option<Self> {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let url = match engine {
            Engine::sqlite => store::sqlite_url(data.path()),
            Engine::postgresql => postgresql().await?,
        };
        let store = store::open(&url).await.unwrap();
        Some(Self::over(store, data, setup).await)
    }

    /// Another server on the same store and directory, as after a restart.
    pub async fn restarted(&self, setup: Setup) -> Self {
        Self::over(Arc::clone(&self.store), Arc::clone(&self.data), setup).await
    }

    async fn over(store: Arc<dyn Store>, data: Arc<tempfile::TempDir>, setup: Setup) -> Self {
        // The cheapest bcrypt allows: its cost is not what is tested here.
        let passwords = Passwords::new(4, 2);
        if let Some(password) = setup.admin {
            let made = first::ensure(&*store, &passwords, data.path(), "admin", Some(password), false)
                .await
                .unwrap();
            assert!(matches!(made, First::Configured { weak: false } | First::Exists));
        }
        let tokens = Tokens::new(SECRET, setup.token_lifetime);
        let attempts = Attempts::new(setup.attempts_per_minute);
        let auth = Arc::new(Auth::new(store.clone(), passwords, tokens, attempts, data.path().to_owned()));
        auth.restore_attempts().await.unwrap();
        let (stop, shutdown) = watch::channel(false);
        let settings = watch::Sender::new(Settings {
            interval: Duration::from_secs(5),
            sources: SourceSettings::default(),
        });
        let hub = Hub::default();
        let intervals = Arc::new(Intervals::default());
        let source_status = SourceStatus::default();
        let names = Names::new(&setup.options.roots, &[]);
        let lister = Arc::new(ProcessLister::new(&setup.options.roots, names, true));
        store.introduce(&Host::new("0123abcd", "testbed")).await.unwrap();
        let history = History::new(store.clone(), "0123abcd");
        let profiles = Archive::new(store.clone(), "0123abcd");
        let log = LogPlace { dir: data.path().join("spool"), max_bytes: 1 << 20 };
        let writer = Writer::spawn(history.clone(), log, DocumentDays(7)).unwrap();
        let channels = channels::Options { secret: SECRET.to_vec(), ..channels::Options::default() };
        let alerts = Alerts::new(store.clone(), history.clone(), data.path().join("alerts.d"), channels);
        let alerting = alerts.spawn(source_status.clone());
        let state = AppState::new(Parts {
            store: Arc::clone(&store),
            hub: hub.clone(),
            source_status: source_status.clone(),
            store_watch: Watch::start(Arc::clone(&store)).await,
            history: history.clone(),
            profiles: profiles.clone(),
            fleet: perfwatch::fleet::seen::Seen::default(),
            intervals: Arc::clone(&intervals),
            alerts: alerts.clone(),
            writer: Some(writer.handle()),
            auth: auth.clone(),
            settings: settings.clone(),
            diagnose: |roots, store, _, reports, newest| {
                let recording = perfwatch::doctor::Recording::Elsewhere;
                perfwatch::doctor::diagnose(roots, store, recording, reports, newest)
            },
            place: store::inspect::Place {
                url: store::sqlite_url(data.path()),
                data_dir: data.path().to_owned(),
            },
            processes: setup.lister.unwrap_or_else(|| lister.clone()),
            options: setup.options,
            streams: tokio::runtime::Handle::current(),
            questions: tokio::runtime::Handle::current(),
            shutdown: shutdown.clone(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, setup.tls, app(state), setup.limits, shutdown));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            address,
            store,
            history,
            auth,
            hub,
            intervals,
            alerts,
            alerting,
            source_status,
            lister,
            settings,
            data,
            stop,
            serving,
            writer,
            http,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Response {
        self.request(Method::GET, path).bearer_auth(token).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub async fn send_as(&self, token: &str, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).bearer_auth(token).json(body).send().await.unwrap()
    }

    pub async fn login_as(&self, username: &str, password: &str) -> Response {
        self.post("/api/auth/login", &json!({"username": username, "password": password})).await
    }

    /// A token of the admin.
    pub async fn token(&self) -> String {
        self.token_of("admin").await
    }

    /// A token of an account whose password is [`PASSWORD`].
    pub async fn token_of(&self, username: &str) -> String {
        let body = body(self.login_as(username, PASSWORD).await, 200).await;
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Another account, with [`PASSWORD`].
    pub async fn add_user(&self, name: &str, role: &str) {
        let hash = Passwords::new(4, 1).hash(PASSWORD).await.unwrap();
        self.store.create_user(name, &hash, role).await.unwrap();
        assert!(role == ADMIN || role == perfwatch::auth::VIEWER);
    }

    /// Publishes a snapshot whose cpu document says `n`, on the `n`th second.
    pub fn publish(&self, n: i64) {
        self.publish_snapshot(&snapshot(n, ""));
    }

    /// Passes a snapshot to every subscriber, like the pipeline, but not to the store.
    pub fn publish_snapshot(&self, snapshot: &Arc<Snapshot>) {
        self.hub.publish(snapshot);
        self.intervals.add(snapshot);
        self.alerting.submitter().submit(snapshot);
    }
}

pub fn snapshot(n: i64, padding: &str) -> Arc<Snapshot> {
    let at = OffsetDateTime::from_unix_timestamp(n).unwrap();
    let body = json!({"usage_percent": n, "padding": padding});
    Arc::new(Snapshot::new(at, vec![reading(MetricType::Cpu, at, &body)]))
}

/// A snapshot of these documents, taken at the epoch.
pub fn snapshot_of(documents: &[(MetricType, Value)]) -> Arc<Snapshot> {
    let at = OffsetDateTime::UNIX_EPOCH;
    let readings = documents.iter().map(|(of, body)| reading(*of, at, body)).collect();
    Arc::new(Snapshot::new(at, readings))
}

/// The JSON of a response that must have `status`.
pub async fn body(response: Response, status: u16) -> Value {
    let (got, url) = (response.status(), response.url().clone());
    let kind = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    assert_eq!(got.as_u16(), status, "{url}: {text}");
    assert_eq!(kind.as_deref(), Some("application/json"), "{url}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The message of an error that must have `status`.
pub async fn detail(response: Response, status: u16) -> String {
    let body = body(response, status).await;
    body["detail"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// The places named by a 422.
pub async fn places(response: Response) -> Vec<String> {
    let body = body(response, 422).await;
    let problems = body["detail"].as_array().unwrap();
    problems
        .iter()
        .map(|problem| {
            assert!(problem["msg"].is_string());
            let loc = problem["loc"].as_array().unwrap();
            loc.iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(".")
        })
        .collect()
}
