//! One request over HTTP. Redirects are not followed: they could lead to addresses that only this machine reaches.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use ureq::http::{self, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;

use super::address::Outside;
use super::{Conversation, Failure, Sender};

/// How much of an answer is noted.
const MAX_ANSWER: u64 = 1000;

#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Request {
    /// Without URL, headers and body, which may have secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

pub(super) fn agent(
    timeout: Duration,
    certificates: &[CertificateDer<'static>],
    is_limited: bool,
) -> ureq::Agent {
    let trusted: Vec<Certificate<'static>> =
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&trusted))
        .unversioned_rustls_crypto_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("perfwatch/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    if is_limited {
        return ureq::Agent::with_parts(config, DefaultConnector::default(), Outside::default());
    }
    config.new_agent()
}

/// Scheme, host and port: what may be shown of a URL.
pub fn host_of(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let shown =
        uri.as_ref().and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str())));
    shown.unwrap_or_default()
}

impl Sender {
    /// Sends it, unless `is_limited` and the address is inside.
    pub async fn request(
        &self,
        request: Request,
        is_limited: bool,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        conversation.note(&format!("> {} {}/•••", request.method, host_of(&request.url)));
        let agent = if is_limited { self.outside.clone() } else { self.anywhere.clone() };
        let sending = tokio::task::spawn_blocking(move || send(&agent, &request));
        let answer = match sending.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let why = conversation.mask(&error);
                conversation.note(&format!("! {why}"));
                return Err(Failure::new(why));
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        conversation.note(&format!("< {:?} {}", answer.version, answer.status));
        for line in answer.body.lines() {
            conversation.note(&format!("< {line}"));
        }
        if answer.status.is_success() {
            return Ok(());
        }
        let why = match answer.status.is_redirection() {
            true => {
                format!("it answered {}; redirects are not followed, so set the final URL", answer.status)
            }
            false => format!("it answered {}", answer.status),
        };
        let is_refused = matches!(answer.status.as_u16(), 400 | 413 | 422);
        Err(Failure { why, retry_after: answer.retry_after, is_refused })
    }
}

struct Answer {
    version: http::Version,
    status: http::StatusCode,
    retry_after: Option<Duration>,
    body: String,
}

fn send(agent: &ureq::Agent, request: &Request) -> Result<Answer, String> {
    let mut built = http::Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        built = built.header(*name, value);
    }
    let built = built.body(request.body.as_slice()).map_err(|error| error.to_string())?;
    let mut response = agent.run(built).map_err(|error| error.to_string())?;
    let retry_after =
        response.headers().get("retry-after").and_then(|after| after.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    // What cannot be read is not needed.
    let _ = response.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut body);
    Ok(Answer {
        version: response.version(),
        status: response.status(),
        retry_after: retry_after.map(Duration::from_secs),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_a_url_is_shown() {
        assert_eq!(host_of("https://hooks.example.org:8443/T0/secret?x=y"), "https://hooks.example.org:8443");
        assert_eq!(host_of("nothing"), "");
    }
}
