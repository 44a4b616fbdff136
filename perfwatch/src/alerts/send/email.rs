//! One message over SMTP: encrypted, unless the channel says otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::message::Mailboxes;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use lettre::{Address, Message};
use tokio::time::timeout;
use ureq::http::Uri;

use super::address::{REFUSED, is_inside};
use super::{Conversation, Failure, Sender};

/// A whole message may take this many times as long as a request: mail servers like to let others wait.
const PATIENCE: u32 = 3;

/// An email, and the server that takes it.
#[derive(Clone)]
pub struct Mail {
    /// `smtp://` (STARTTLS), `smtps://` or `smtp+plain://`.
    pub url: String,
    pub sign_in: Option<(String, String)>,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    /// The same for the same message, however often it is sent.
    pub id: String,
    /// What mail programs group it with.
    pub thread: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    StartTls,
    FromStart,
    None,
}

struct Server {
    host: String,
    port: u16,
    encryption: Encryption,
}

impl Server {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let (encryption, port) = match uri.scheme_str()? {
            "smtp" => (Encryption::StartTls, 587),
            "smtps" => (Encryption::FromStart, 465),
            _ => (Encryption::None, 25),
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(port), encryption })
    }
}

impl Mail {
    fn built(&self) -> Result<Message, String> {
        let id = |name: &str| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '.' };
            format!("<{}@perfwatch>", name.chars().map(plain).collect::<String>())
        };
        let mailboxes = |text: &str| text.parse::<Mailboxes>().map_err(|error| error.to_string());
        let mut message = Message::builder()
            .subject(&self.subject)
            .message_id(Some(id(&self.id)))
            .references(id(&self.thread))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".into(),
            ));
        for mailbox in mailboxes(&self.from)? {
            message = message.from(mailbox);
        }
        for mailbox in mailboxes(&self.to)? {
            message = message.to(mailbox);
        }
        message.body(self.text.replace("\r\n", "\n").replace('\n', "\r\n")).map_err(|error| error.to_string())
    }
}

impl Sender {
    /// Sends an email, unless `is_limited` and the server's address is inside.
    pub async fn mail(
        &self,
        mail: &Mail,
        is_limited: bool,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let longest = self.timeout.saturating_mul(PATIENCE);
        let sent = timeout(longest, self.converse(mail, is_limited, conversation)).await;
        let sent = sent.unwrap_or_else(|_| {
            Err(Failure::new(format!("the mail server did not finish within {} s", longest.as_secs_f64())))
        });
        sent.map_err(|failure| {
            let failure = Failure { why: conversation.mask(&failure.why), ..failure };
            conversation.note(&format!("! {}", failure.why));
            failure
        })
    }

    async fn converse(
        &self,
        mail: &Mail,
        is_limited: bool,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let message = mail.built().map_err(Failure::new)?;
        let server = Server::of(&mail.url).ok_or_else(|| Failure::new("its URL names no mail server"))?;
        let mut connection = self.connect(&server, is_limited, conversation).await?;
        if server.encryption == Encryption::StartTls {
            if !connection.can_starttls() {
                return Err(Failure::new(
                    "it does not offer STARTTLS; use smtps:// if its port expects TLS at once",
                ));
            }
            conversation.note("> STARTTLS");
            let tls = self.tls(&server)?;
            connection.starttls(tls, &ClientId::default()).await.map_err(failure)?;
            conversation.note("< encrypted");
        }
        if let Some((user, password)) = &mail.sign_in {
            conversation.note("> AUTH •••");
            let credentials = Credentials::new(user.clone(), password.clone());
            let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            note(conversation, answer)?;
        }
        let envelope = message.envelope();
        let mut parameters = Vec::new();
        let is_plain = |address: &Address| address.to_string().is_ascii();
        if !envelope.from().into_iter().chain(envelope.to()).all(is_plain) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::new("it does not take addresses with such letters (SMTPUTF8)"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        conversation.note(&format!("> MAIL FROM {}", mail.from));
        note(conversation, connection.command(MailFrom::new(envelope.from().cloned(), parameters)).await)?;
        // One wrong address is not to keep the message from the others.
        let mut refusal = None;
        let mut taken = 0;
        for to in envelope.to() {
            conversation.note(&format!("> RCPT TO {to}"));
            match note(conversation, connection.command(Rcpt::new(to.clone(), Vec::new())).await) {
                Ok(()) => taken += 1,
                Err(failure) => refusal = Some(failure),
            }
        }
        match refusal {
            Some(failure) if taken == 0 => return Err(failure),
            Some(failure) => {
                tracing::warn!(error = failure.why, "a mail server refuses some of an alert's addresses");
            }
            None => {}
        }
        conversation.note("> DATA");
        note(conversation, connection.command(Data).await)?;
        let text = message.formatted();
        conversation.note(&format!("> {} bytes", text.len()));
        note(conversation, connection.message(&text).await)?;
        // It has the message; how it takes leave does not matter.
        let _ = timeout(Duration::from_secs(1), connection.quit()).await;
        Ok(())
    }

    async fn connect(
        &self,
        server: &Server,
        is_limited: bool,
        conversation: &mut Conversation,
    ) -> Result<AsyncSmtpConnection, Failure> {
        let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
        let found = found.map_err(|error| Failure::new(format!("its name cannot be resolved: {error}")))?;
        let addresses: Vec<SocketAddr> =
            found.filter(|address| !(is_limited && is_inside(address.ip()))).collect();
        let hello = ClientId::default();
        let mut last = Failure::new(if is_limited { REFUSED } else { "its name has no address" });
        for address in addresses {
            conversation.note(&format!("connecting to {}:{} ({})", server.host, server.port, address.ip()));
            let tls = match server.encryption {
                Encryption::FromStart => Some(self.tls(server)?),
                _ => None,
            };
            let connected =
                AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &hello, tls, None);
            match connected.await {
                Ok(connection) => {
                    conversation.note(&format!("< {}", connection.server_info()));
                    return Ok(connection);
                }
                Err(error) => {
                    last = failure(error);
                    conversation.note(&format!("! {}", last.why));
                }
            }
        }
        Err(last)
    }

    fn tls(&self, server: &Server) -> Result<TlsParameters, Failure> {
        let mut tls = TlsParameters::builder(server.host.clone()).certificate_store(CertificateStore::None);
        for certificate in &self.certificates {
            tls = tls.add_root_certificate(Certificate::from_der(certificate.to_vec()).map_err(failure)?);
        }
        tls.build_rustls().map_err(failure)
    }
}

fn note(
    conversation: &mut Conversation,
    answer: Result<Response, lettre::transport::smtp::Error>,
) -> Result<(), Failure> {
    match answer {
        Ok(answer) => {
            conversation.note(&format!(
                "< {} {}",
                answer.code(),
                answer.message().collect::<Vec<_>>().join(" / ")
            ));
            Ok(())
        }
        Err(error) => {
            let failure = failure(error);
            conversation.note(&format!("< {}", failure.why));
            Err(failure)
        }
    }
}

fn failure(error: lettre::transport::smtp::Error) -> Failure {
    // Its sources are part of its own text.
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_whatever_is_in_it() {
        let mail = Mail {
            url: "smtp://mail.example.org".into(),
            sign_in: None,
            from: "PerfWatch <pw@example.org>".into(),
            to: "a@example.org, b@example.org".into(),
            subject: "[warning] über a\r\nBcc: x@example.org".into(),
            text: ".\n.\nté\n".into(),
            id: "e:raised:1\r\n".into(),
            thread: "t".into(),
        };
        let message = mail.built().unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("Message-ID: <e.raised.1..@perfwatch>"), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
        assert_eq!(message.envelope().to().len(), 2);
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn servers_have_usual_ports() {
        let of = |url: &str| {
            let server = Server::of(url).unwrap();
            (server.host, server.port, server.encryption)
        };
        assert_eq!(of("smtp://a.example"), ("a.example".into(), 587, Encryption::StartTls));
        assert_eq!(of("smtps://a.example"), ("a.example".into(), 465, Encryption::FromStart));
        assert_eq!(of("smtp+plain://[::1]:2525"), ("::1".into(), 2525, Encryption::None));
    }
}
