//! A client for testing a server: HTTP and the live stream.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tungstenite::WebSocket;
use tungstenite::stream::MaybeTlsStream;

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    address: String,
    patience: Duration,
    token: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self::at(&format!("127.0.0.1:{port}"), TIMEOUT)
    }

    /// For the server at `address`, with `patience` as the timeout.
    pub fn at(address: &str, patience: Duration) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build();
        Self { agent: config.into(), address: address.to_owned(), patience, token: None }
    }

    pub fn get(&self, path: &str, accept: &str) -> Result<Answer> {
        let request = self.agent.get(self.url(path)).header("accept", accept);
        read(self.signed_in(request).call().with_context(|| format!("GET {path}"))?)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.agent.post(self.url(path)).header("content-type", "application/json");
        read(self.signed_in(request).send(body.to_string()).with_context(|| format!("POST {path}"))?)
    }

    pub fn delete(&self, path: &str) -> Result<Answer> {
        let request = self.agent.delete(self.url(path));
        read(self.signed_in(request).call().with_context(|| format!("DELETE {path}"))?)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn signed_in<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// The JSON at `path`; an error unless the status is 200.
    pub fn json(&self, path: &str) -> Result<Value> {
        let answer = self.get(path, "application/json")?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        answer.json()
    }

    pub fn log_in(&mut self, username: &str, password: &str) -> Result<()> {
        let login = serde_json::json!({"username": username, "password": password});
        let answer = self.post("/api/auth/login", &login)?;
        let token = answer.json()?["access_token"].as_str().map(str::to_owned);
        self.token = Some(token.with_context(|| format!("login: {} {}", answer.status, answer.body))?);
        Ok(())
    }

    /// The live stream, opened like the original's page does.
    pub fn stream(&self) -> Result<Stream> {
        self.stream_with("")
    }

    /// That of another machine of the fleet, by its ID.
    pub fn stream_of(&self, host: &str) -> Result<Stream> {
        self.stream_with(&format!("&host={host}"))
    }

    fn stream_with(&self, parameters: &str) -> Result<Stream> {
        let token = self.token.as_deref().unwrap_or_default();
        let url = format!("ws://{}/api/ws/metrics?token={token}{parameters}", self.address);
        let (socket, _) = tungstenite::connect(url).context("cannot open the live stream")?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(self.patience))?;
        }
        Ok(Stream(socket))
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let status = response.status().as_u16();
    Ok(Answer { status, content_type, body: response.body_mut().read_to_string()? })
}

#[derive(Debug)]
pub struct Stream(WebSocket<MaybeTlsStream<TcpStream>>);

impl Stream {
    /// The next snapshot: its time and its documents by type.
    pub fn snapshot(&mut self) -> Result<(String, Value)> {
        loop {
            let message = self.0.read().context("the live stream ended or fell silent")?;
            let Ok(text) = message.to_text() else { continue };
            let mut message: Value = serde_json::from_str(text).unwrap_or_default();
            if message["type"] == "metrics" {
                let timestamp = message["timestamp"].as_str().unwrap_or_default().to_owned();
                return Ok((timestamp, message["data"].take()));
            }
        }
    }
}
