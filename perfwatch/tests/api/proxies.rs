//! The proxies of docs/deployment.md, exactly as documented, in front of the server: on their own port, at the root
//! and below a path.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use perfwatch::api::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::http::Request;

use super::start_with;
use crate::server::{PASSWORD, Server, Setup};

const NAME: &str = "monitor.example.org";
const BASE: &str = "/perfwatch";
/// The browser's address, different from the proxy's.
const BROWSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A proxy in front of a server.
struct Proxy {
    running: Child,
    port: u16,
    certificate: CertificateDer<'static>,
    _files: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

/// The examples in this language, in document order.
fn examples(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deployment.md");
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} in\n{text}");
    text.replace(from, to)
}

fn nginx(base_path: &str, files: &Path, server: SocketAddr, port: u16) -> (Command, String) {
    let [at_root, below]: [String; 2] = examples("nginx").try_into().unwrap();
    let example = if base_path.is_empty() {
        at_root
    } else {
        let start = at_root.find("    location").unwrap();
        format!("{}{below}}}\n", &at_root[..start])
    };
    let example = replaced(&example, "listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"));
    let example = replaced(&example, "/etc/ssl/monitor.pem", "cert.pem");
    let example = replaced(&example, "/etc/ssl/monitor.key", "key.pem");
    let example = replaced(&example, "127.0.0.1:8000", &server.to_string());
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\n\
         scgi_temp_path scgi;\n{example}}}\n"
    );
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(program);
    command.arg("-p").arg(files).arg("-c").arg(files.join("config")).args(["-e", "stderr"]);
    (command, config)
}

fn caddy(base_path: &str, files: &Path, server: SocketAddr, port: u16) -> (Command, String) {
    let [at_root, below]: [String; 2] = examples("caddy").try_into().unwrap();
    let example = if base_path.is_empty() { at_root } else { below };
    // It would request a certificate otherwise.
    let dir = files.display();
    let named = format!("https://{NAME}:{port} {{\n    bind 127.0.0.1\n    tls {dir}/cert.pem {dir}/key.pem\n");
    let example = replaced(&example, &format!("{NAME} {{\n"), &named);
    let example = replaced(&example, "127.0.0.1:8000", &server.to_string());
    let config = format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{example}");
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(files.join("config"));
    command.env("HOME", files).env("XDG_DATA_HOME", files).env("XDG_CONFIG_HOME", files);
    (command, config)
}

type Configure = fn(&str, &Path, SocketAddr, u16) -> (Command, String);

impl Proxy {
    /// `None` if the program is not installed.
    async fn start(test: &str, configure: Configure, base_path: &str, server: SocketAddr) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(files.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(files.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        // Free a moment ago; nobody else listens on ports of this range for long.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mut command, config) = configure(base_path, files.path(), server, port);
        std::fs::write(files.path().join("config"), &config).unwrap();
        let log = std::fs::File::create(files.path().join("log")).unwrap();
        command.current_dir(files.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let running = match command.spawn() {
            Ok(running) => running,
            Err(error) => {
                println!("SKIPPED: {test}: {}: {error}", command.get_program().display());
                return None;
            }
        };
        let mut proxy = Self { running, port, certificate: made.cert.der().clone(), _files: files };
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let log = || std::fs::read_to_string(proxy._files.path().join("log")).unwrap();
                assert!(proxy.running.try_wait().unwrap().is_none(), "it ended: {}\n{config}", log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), listening).await.expect("the proxy listens in time");
        Some(proxy)
    }

    fn host(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    fn origin(&self) -> String {
        format!("https://{}", self.host())
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((BROWSER, 0).into()).unwrap();
        let stream = socket.connect(([127, 0, 0, 1], self.port).into()).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// The response's status and full text.
    async fn send(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        let host = self.host();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Not every proxy closes cleanly; what counts is what arrived.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}")), answer)
    }

    async fn login(&self, base_path: &str, origin: &str) -> (u16, String) {
        let body = json!({"username": "admin", "password": PASSWORD}).to_string();
        // The forwarded address is made up by the client.
        let headers = format!("origin: {origin}\r\ncontent-type: application/json\r\nx-forwarded-for: 6.6.6.6\r\n");
        self.send(&format!("POST {base_path}/api/auth/login"), &headers, &body).await
    }
}

async fn server(base_path: &str) -> Option<Server> {
    let options = Options {
        allowed_hosts: vec![NAME.into()],
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        base_path: base_path.into(),
        ..Options::default()
    };
    start_with(Setup { options, ..Setup::default() }).await
}

/// Everything a browser does, through the proxy.
async fn browse(test: &str, configure: Configure) {
    for base_path in ["", BASE] {
        let Some(server) = server(base_path).await else { return };
        let Some(proxy) = Proxy::start(test, configure, base_path, server.address).await else { return };

        for path in ["/", "/history?range=24h"] {
            let (status, page) = proxy.send(&format!("GET {base_path}{path}"), "accept: text/html\r\n", "").await;
            assert_eq!(status, 200, "{page}");
            assert!(page.contains(&format!("<base href=\"{base_path}/\"")), "{page}");
        }
        let (status, docs) = proxy.send(&format!("GET {base_path}/docs"), "", "").await;
        assert!((300..400).contains(&status) && docs.to_lowercase().contains("location: docs/"), "{docs}");
        let (status, document) = proxy.send(&format!("GET {base_path}/openapi.json"), "", "").await;
        assert_eq!(status, 200);
        let names_it = document.contains(&format!("\"url\":\"{base_path}\""));
        assert_eq!(names_it, !base_path.is_empty());

        let (status, foreign) = proxy.login(base_path, "https://evil.example").await;
        assert_eq!(status, 403, "{foreign}");
        let (status, login) = proxy.login(base_path, &proxy.origin()).await;
        assert_eq!(status, 200, "{login}");
        let login: Value = serde_json::from_str(&login[login.find('{').unwrap()..=login.rfind('}').unwrap()]).unwrap();
        let token = login["access_token"].as_str().unwrap();
        let audit = server.store.audit(None, 10).await.unwrap();
        assert_eq!(audit[0].address, BROWSER.to_string(), "neither the proxy nor what the client made up");

        let me = format!("authorization: Bearer {token}\r\n");
        assert_eq!(proxy.send(&format!("GET {base_path}/api/auth/me"), &me, "").await.0, 200);
        let request = Request::builder()
            .uri(format!("wss://{}{base_path}/api/ws/metrics", proxy.host()))
            .header("host", proxy.host())
            .header("origin", proxy.origin())
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", format!("bearer, {token}"))
            .body(())
            .unwrap();
        let (mut stream, _) = client_async(request, proxy.connect().await).await.unwrap();
        server.publish(7);
        let message = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap().unwrap().unwrap();
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        assert_eq!(message["data"]["cpu"]["usage_percent"], 7.0);
    }
}

#[tokio::test]
async fn the_documented_nginx_works_on_another_port_and_below_a_path() {
    browse("the_documented_nginx_works_on_another_port_and_below_a_path", nginx).await;
}

#[tokio::test]
async fn the_documented_caddy_works_on_another_port_and_below_a_path() {
    browse("the_documented_caddy_works_on_another_port_and_below_a_path", caddy).await;
}

#[tokio::test]
async fn below_a_path_everything_is_there_and_health_without_it_too() {
    let Some(server) = server(BASE).await else { return };
    for (path, status) in [
        ("/perfwatch", 200),
        ("/perfwatch/", 200),
        ("/perfwatch/settings", 200),
        ("/perfwatch/health", 200),
        ("/health", 200),
        ("/perfwatch/api/auth/me", 401),
        ("/perfwatch/api/nothing", 404),
        ("/perfwatch/metrics/", 404),
        ("/perfwatch/docs/", 200),
        ("/perfwatchx/api/auth/me", 200),
    ] {
        assert_eq!(server.get(path).await.status(), status, "{path}");
    }
    let about = server.request(reqwest::Method::GET, "/perfwatch/").header("accept", "application/json");
    let about: Value = about.send().await.unwrap().json().await.unwrap();
    assert_eq!(about["docs"], "/perfwatch/docs");
    let page = server.get("/perfwatch/history").await.text().await.unwrap();
    assert!(page.contains("<base href=\"/perfwatch/\""), "{page}");
}
