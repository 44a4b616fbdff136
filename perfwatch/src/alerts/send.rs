//! Sends one message to one receiver, over HTTP or SMTP, and notes the conversation.

mod address;
pub mod email;
pub mod http;

use std::time::Duration;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::channel::Secrets;

/// Longer lines of a conversation are cut.
const MAX_LINE: usize = 500;
const MAX_LINES: usize = 100;
/// Shorter parts of a URL are no secrets, and would mask too much.
const SHORTEST_SECRET: usize = 6;

/// It was not taken.
#[derive(Debug)]
pub struct Failure {
    /// One sentence without secrets.
    pub why: String,
    /// When the receiver wants to be asked again.
    pub retry_after: Option<Duration>,
    /// It does not like this message: another one may succeed.
    pub is_refused: bool,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None, is_refused: false }
    }
}

/// What was said, with secrets masked.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    pub lines: Vec<String>,
    secrets: Masks,
}

#[derive(Clone, Default)]
struct Masks(Vec<String>);

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks")
    }
}

impl Conversation {
    /// Masks these secrets, wherever a receiver repeats them.
    pub fn new(secrets: &Secrets) -> Self {
        let mut masks: Vec<String> = Vec::new();
        for (name, secret) in secrets.named() {
            let secret = secret.reveal();
            masks.push(secret.to_owned());
            if name == "url"
                && let Some((_, path)) = secret.split_once("://").and_then(|(_, rest)| rest.split_once('/'))
            {
                masks.push(path.to_owned());
                masks.extend(path.split(['/', '?', '&', '=']).map(str::to_owned));
            }
        }
        masks.retain(|mask| mask.len() >= SHORTEST_SECRET);
        // The longest first: parts of it are in it.
        masks.sort_by_key(|mask| std::cmp::Reverse(mask.len()));
        Self { lines: Vec::new(), secrets: Masks(masks) }
    }

    pub fn mask(&self, text: &str) -> String {
        self.secrets.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "•••"))
    }

    pub fn note(&mut self, text: &str) {
        if self.lines.len() >= MAX_LINES {
            return;
        }
        let shown = self.mask(text);
        let shown = shown.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.lines.push(shown.take(MAX_LINE).collect());
    }
}

/// Has the clients and the certificates that they trust.
pub struct Sender {
    anywhere: ureq::Agent,
    outside: ureq::Agent,
    certificates: Vec<CertificateDer<'static>>,
    timeout: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Sender {
    /// Trusts this system's certificates, and `also`. A request takes `timeout` at most.
    pub fn new(timeout: Duration, also: &[CertificateDer<'static>]) -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate of this system cannot be read");
        }
        let mut certificates = found.certs;
        certificates.extend(also.iter().cloned());
        // One that cannot be used is not to keep the others from it.
        certificates.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
        let agent = |is_limited| http::agent(timeout, &certificates, is_limited);
        Self { anywhere: agent(false), outside: agent(true), timeout, certificates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::channel::Secret;

    #[test]
    fn secrets_are_masked_wherever_they_are_repeated() {
        let secrets = Secrets {
            url: Some(Secret::new("https://hooks.example.org/services/T0000001/hunter22")),
            token: Some(Secret::new("token-1234")),
            ..Secrets::default()
        };
        let mut conversation = Conversation::new(&secrets);
        conversation.note("GET /services/T0000001/hunter22 with token-1234\r\nno hunter22");
        assert_eq!(conversation.lines, ["GET /••• with •••  no •••"]);
        for _ in 0..1000 {
            conversation.note(&"x".repeat(10_000));
        }
        assert_eq!((conversation.lines.len(), conversation.lines[1].len()), (MAX_LINES, MAX_LINE));
        assert!(!format!("{conversation:?}").contains("hunter22"));
    }
}
