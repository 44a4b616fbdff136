//! One viewer's questions must not slow down others.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use perfwatch::auth::VIEWER;
use perfwatch::snapshot::processes::listing::{Lister, Listing};
use reqwest::Method;
use tokio::task::JoinSet;

use super::start_with;
use crate::server::{PASSWORD, Server, Setup, body, detail};

/// Lists processes only when the test says so.
#[derive(Debug)]
struct Gate(Mutex<mpsc::Receiver<()>>);

impl Lister for Gate {
    fn list(&self) -> Arc<Listing> {
        // The end of the test opens it, too.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Arc::new(Listing {
            timestamp: "2026-01-02T03:04:05Z".into(),
            ..Listing::default()
        })
    }
}

async fn start() -> Option<(Server, mpsc::Sender<()>)> {
    let (open, opened) = mpsc::channel();
    let lister: Arc<dyn Lister> = Arc::new(Gate(Mutex::new(opened)));
    let server = start_with(Setup { lister: Some(lister), ..Setup::default() }).await?;
    server.add_user("eve", VIEWER).await;
    Some((server, open))
}

fn ask(server: &Server, token: &str) -> impl Future<Output = reqwest::Response> + Send + 'static {
    let request = server.request(Method::GET, "/api/processes").bearer_auth(token);
    async move { request.send().await.unwrap() }
}

#[tokio::test]
async fn one_viewer_can_take_neither_health_nor_logins_nor_the_turns_of_others() {
    let Some((server, open)) = start().await else { return };
    let (eve, admin) = (server.token_of("eve").await, server.token().await);
    let mut asked = JoinSet::new();
    for _ in 0..40 {
        asked.spawn(ask(&server, &eve));
    }
    // All that exceed the limit are told so while the others wait.
    for _ in 0..24 {
        let refused = asked.join_next().await.unwrap().unwrap();
        assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(detail(refused, 429).await, "Too many questions at once; try again later");
    }
    assert_eq!(body(server.get("/health").await, 200).await["status"], "healthy");
    body(server.login_as("admin", PASSWORD).await, 200).await;
    let theirs = tokio::spawn(ask(&server, &admin));
    for _ in 0..17 {
        open.send(()).unwrap();
    }
    assert_eq!(theirs.await.unwrap().status(), 200);
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_questions_of_clients_that_went_are_given_up() {
    let Some((server, _open)) = start().await else { return };
    let eve = server.token_of("eve").await;
    let mut asked = JoinSet::new();
    for _ in 0..17 {
        asked.spawn(ask(&server, &eve));
    }
    assert_eq!(asked.join_next().await.unwrap().unwrap().status(), 429, "the others wait");
    asked.shutdown().await;
    let doctor = async {
        // The server notices a moment later that they are gone.
        while server.get_as(&eve, "/api/doctor").await.status() == 429 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), doctor).await.expect("their places are free again");
}
