//! Delivery of alerts to the real programs that receive them: Debian's Alertmanager, and a mail server in Python.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "support/readings.rs"]
mod readings;
#[path = "support/receiver.rs"]
mod receiver;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use perfwatch::alerts::channels::Options;
use perfwatch::alerts::delivery::test;
use perfwatch::snapshot::source::SourceStatus;
use perfwatch::snapshot::{MetricType, Snapshot};
use perfwatch::store::alerts::StoredRule;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use receiver::{Receiver, Request, Setup, TIMES, event};

/// Killed with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody uses.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

async fn listens(port: u16, program: &mut Program) {
    for _ in 0..3000 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        assert!(program.0.try_wait().unwrap().is_none(), "it ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens at {port}");
}

fn skipped(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
}

async fn alertmanager(dir: &Path, port: u16) -> Option<Program> {
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", dir.join("config.yml").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
    command.arg(format!("--storage.path={}", dir.display())).stdout(Stdio::null()).stderr(Stdio::null());
    let mut program = Program(command.spawn().ok()?);
    listens(port, &mut program).await;
    Some(program)
}

/// Status, and the alerts' mount points, of what Alertmanager tells its own receiver.
fn told(request: &Request) -> (String, Vec<String>) {
    let alerts = request.1["alerts"].as_array().unwrap();
    let mut of: Vec<String> = alerts
        .iter()
        .filter_map(|alert| {
            Some(format!("{}:{}", alert["status"].as_str()?, alert["labels"]["mountpoint"].as_str()?))
        })
        .collect();
    of.sort();
    (request.1["status"].as_str().unwrap().to_owned(), of)
}

#[tokio::test]
async fn alertmanager_groups_alerts_and_resolves_them() {
    let behind = Receiver::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "route: {{receiver: all, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: all, webhook_configs: [{{url: \"{}\", send_resolved: true}}]}}]\n",
        behind.url
    );
    std::fs::write(dir.path().join("config.yml"), config).unwrap();
    let port = free_port().await;
    let Some(program) = alertmanager(dir.path(), port).await else {
        return skipped(
            "alertmanager_groups_alerts_and_resolves_them",
            "prometheus-alertmanager is not installed",
        );
    };
    let channel =
        format!("[[channel]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:{port}\"\n");
    let setup = Setup::new(&channel).await;
    let delivering = setup.delivering(TIMES);
    let all = |kind: &str, at| ["a", "b", "c"].map(|episode| event(episode, kind, "warning", at)).to_vec();
    setup.happened(all("raised", 1)).await;
    let requests = behind.until("notification", |requests| !requests.is_empty()).await;
    let names = |status: &str| ["/a", "/b", "/c"].map(|mount| format!("{status}:{mount}")).to_vec();
    assert_eq!(
        told(&requests[0]),
        ("firing".to_owned(), names("firing")),
        "three alerts are one notification"
    );
    assert_eq!(requests[0].1["commonLabels"]["severity"], "warning");
    setup.happened(all("cleared", 9)).await;
    let requests =
        behind.until("resolution", |requests| requests.iter().any(|r| r.1["status"] == "resolved")).await;
    assert_eq!(told(requests.last().unwrap()), ("resolved".to_owned(), names("resolved")));

    // What is raised is there again after Alertmanager forgot everything.
    let rule = json!({"name": "busy", "field": "cpu.usage_percent", "warning": {"above": 50}});
    let rule = StoredRule {
        name: "busy".into(),
        definition: rule.to_string(),
        updated_by: "ann".into(),
        updated_at: 1,
    };
    setup.store.put_alert_rules(std::slice::from_ref(&rule)).await.unwrap();
    let running = setup.alerts.spawn(SourceStatus::default());
    let at = OffsetDateTime::now_utc();
    let reading = readings::reading(MetricType::Cpu, at, &json!({"usage_percent": 99.0}));
    running.submitter().submit(&Arc::new(Snapshot::new(at, vec![reading])));
    let is_busy = |request: &Request| request.1["commonLabels"]["alertname"] == "busy";
    behind.until("alert of the rule", |requests| requests.iter().any(is_busy)).await;
    drop(program);
    let _program = alertmanager(dir.path(), port).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut known = json!([]);
    for _ in 0..3000 {
        let answer = http.get(format!("http://127.0.0.1:{port}/api/v2/alerts")).send().await;
        if let Ok(answer) = answer {
            known = answer.json().await.unwrap_or_default();
        }
        if known.as_array().is_some_and(|alerts| !alerts.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(known[0]["labels"]["alertname"], "busy", "{known}");
    delivering.abort();
    running.close().await;
}

/// The system's, which has the system's packages; another may come first on the path.
const PYTHON: &str = "/usr/bin/python3";

/// A mail server that wants STARTTLS and a password, and prints each message as a line of JSON.
const MAIL_SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
            "content": envelope.content.decode()}), flush=True)
        return "250 taken"
def sign_in(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"pw" and data.password == b"hunter22", handled=False)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
controller = Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[3]), tls_context=context,
    require_starttls=True, authenticator=sign_in, auth_required=True)
controller.start()
sys.stdin.read()
controller.stop()
"#;

struct MailServer {
    port: u16,
    lines: std::sync::mpsc::Receiver<Value>,
    certificate: tokio_rustls::rustls::pki_types::CertificateDer<'static>,
    _program: Program,
    _dir: tempfile::TempDir,
}

async fn mail_server() -> Option<MailServer> {
    let has = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port().await;
    let mut command = Command::new(PYTHON);
    command.args(["-W", "ignore", "-c", MAIL_SERVER]).arg(&cert).arg(&key).arg(port.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut program = Program(command.spawn().unwrap());
    let stdout = program.0.stdout.take().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok) {
            if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    listens(port, &mut program).await;
    Some(MailServer { port, lines, certificate: made.cert.der().clone(), _program: program, _dir: dir })
}

impl MailServer {
    fn channel(&self, password: &str, to: &str) -> String {
        format!(
            "[[channel]]\nname = \"mail\"\nkind = \"email\"\nurl = \"smtp://localhost:{}\"\nuser = \"pw\"\n\
             password = \"{password}\"\nfrom = \"PerfWatch <pw@example.org>\"\nto = \"{to}\"\n",
            self.port
        )
    }

    fn trusted(&self) -> Options {
        Options { certificates: vec![self.certificate.clone()], ..Options::default() }
    }
}

async fn tested(setup: &Setup) -> test::Tested {
    let listed = setup.alerts.channels().listed().unwrap();
    test::run(&setup.alerts, &listed[0]).await
}

#[tokio::test]
async fn a_mail_is_sent_encrypted_and_its_failures_are_told() {
    let Some(server) = mail_server().await else {
        return skipped(
            "a_mail_is_sent_encrypted_and_its_failures_are_told",
            "python3-aiosmtpd is not installed",
        );
    };
    let setup =
        Setup::with(&server.channel("hunter22", "nobody@example.org, ann@example.org"), server.trusted())
            .await;
    setup.happened(vec![event("e", "raised", "critical", 1)]).await;
    setup.deliver().await;
    let mail = server.lines.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(
        (&mail["from"], &mail["to"], &mail["tls"]),
        (&json!("pw@example.org"), &json!(["ann@example.org"]), &json!(true))
    );
    let content = mail["content"].as_str().unwrap();
    assert!(content.contains("Subject: [critical] disk-full on 0123abcd: /e is full\r\n"), "{content}");
    assert!(content.contains("Message-ID: <e.raised.1.1.mail@perfwatch>"), "{content}");
    // A summary has letters that are not ASCII.
    let text = content.split_once("\r\n\r\n").unwrap().1.replace("=\r\n", "").replace("=E2=80=A2", "•");
    assert!(
        text.starts_with("• /e is full: 95.0 %, 5.0 % above the level of 90.0 %; critical since"),
        "{text}"
    );

    let wrong = Setup::with(&server.channel("hunter33", "ann@example.org"), server.trusted()).await;
    let said = tested(&wrong).await;
    let all = said.conversation.join("\n");
    assert!(
        !said.is_delivered && all.contains("> STARTTLS\n< encrypted\n> AUTH •••\n< permanent error (535)"),
        "{all}"
    );
    assert!(!all.contains("hunter33"), "{all}");
    let nobody = Setup::with(&server.channel("hunter22", "nobody@example.org"), server.trusted()).await;
    let all = tested(&nobody).await.conversation.join("\n");
    assert!(all.contains("> RCPT TO nobody@example.org\n< permanent error (550): no such mailbox"), "{all}");
    let untrusted = Setup::new(&server.channel("hunter22", "ann@example.org")).await;
    let said = tested(&untrusted).await;
    assert!(
        !said.is_delivered && said.conversation.concat().contains("certificate"),
        "{:?}",
        said.conversation
    );
    assert!(server.lines.try_recv().is_err(), "nothing else arrived");
}

/// A mail server that goes away, or stops to read, amid the text of its first message, and takes the next.
async fn faulty_mail_server(hangs: bool) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let fails = std::mem::take(&mut first);
            let send = send.clone();
            tokio::spawn(async move {
                let _ = serve_mail(stream, fails, hangs, send).await;
            });
        }
    });
    (port, received)
}

async fn serve_mail(
    stream: TcpStream,
    fails: bool,
    hangs: bool,
    send: tokio::sync::mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.starts_with("DATA") {
            stream.write_all(b"354 go on\r\n").await?;
            if fails {
                let mut some = [0; 10];
                stream.read_exact(&mut some).await?;
                if hangs {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
            let mut text = String::new();
            while !text.ends_with("\r\n.\r\n") {
                if stream.read_line(&mut text).await? == 0 {
                    return Ok(());
                }
            }
            let _ = send.send(text);
        }
        stream.write_all(b"250 ok\r\n").await?;
    }
}

#[tokio::test]
async fn a_mail_server_that_stops_amid_a_message_gets_it_again() {
    for hangs in [false, true] {
        let (port, mut received) = faulty_mail_server(hangs).await;
        let setup = Setup::new(&format!(
            "[[channel]]\nname = \"mail\"\nkind = \"email\"\nurl = \"smtp+plain://127.0.0.1:{port}\"\n\
             from = \"pw@example.org\"\nto = \"ann@example.org\"\n"
        ))
        .await;
        setup.happened(vec![event("e", "raised", "critical", 1)]).await;
        setup.deliver().await;
        let text = received.recv().await.unwrap();
        assert!(text.contains("Message-ID: <e.raised.1.1.mail@perfwatch>"), "{text}");
        assert!(received.try_recv().is_err(), "once");
    }
}
