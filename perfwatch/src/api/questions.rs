//! Questions that take more than a moment: on separate low-priority threads, a few at a time, users in turn.
//!
//! A user with many questions waits behind their own, not others behind theirs; a user with too many is told to come
//! back; a question whose client has gone is cancelled.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::error::{Error, Result};

/// Per user, including those whose response is still being sent. A page sends half a dozen.
const MAX_OF_USER: usize = 16;
/// Of all users.
const MAX_OF_ALL: usize = 256;
/// For a turn. Clients wait half a minute for the answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Responses are passed on in pieces of about this size.
pub(super) const PIECE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Questions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    threads: Handle,
    /// Maximum number running at the same time.
    at_once: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    asked: usize,
    working: usize,
    users: HashMap<i64, OfUser>,
    /// Users with a waiting question, the next one first.
    order: VecDeque<i64>,
}

#[derive(Debug, Default)]
struct OfUser {
    asked: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// An admitted question, until its response is sent.
#[derive(Debug)]
pub(super) struct Question {
    shared: Arc<Shared>,
    user: i64,
}

/// The right to run, passed to the next when dropped.
#[derive(Debug)]
struct Turn(Option<Arc<Shared>>);

impl Questions {
    pub(super) fn new(threads: Handle) -> Self {
        // One more than threads: while one waits for the store another can run.
        let at_once = threads.metrics().num_workers() + 1;
        Self(Arc::new(Shared { threads, at_once, table: Mutex::default() }))
    }

    /// Admits a question, or reports that there are too many.
    pub(super) fn ask(&self, user: i64) -> Result<Question> {
        let mut table = self.0.table();
        let of_user = table.users.get(&user).map_or(0, |user| user.asked);
        if of_user >= MAX_OF_USER || table.asked >= MAX_OF_ALL {
            return Err(Error::TooManyQuestions);
        }
        table.asked += 1;
        table.users.entry(user).or_default().asked += 1;
        Ok(Question { shared: Arc::clone(&self.0), user })
    }
}

impl Question {
    /// Does a part of the work when its turn has come. Dropping it cancels the work at its next await.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let turn = tokio::time::timeout(TIMEOUT, self.turn()).await.map_err(|_| Error::TooManyQuestions)?;
        let working = self.shared.threads.spawn(async move {
            // Held by the work itself: a client that goes away must not make room while it continues.
            let _turn = turn;
            work.await
        });
        Working(working).await
    }

    /// The same for work that does not await.
    pub(super) async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let threads = self.shared.threads.clone();
        let blocking = async move { threads.spawn_blocking(work).await };
        self.work(async move { blocking.await.map_err(|error| Error::Internal(error.to_string())) }).await
    }

    async fn turn(&self) -> Turn {
        let next = {
            let mut table = self.shared.table();
            if table.working < self.shared.at_once {
                table.working += 1;
                return Turn(Some(Arc::clone(&self.shared)));
            }
            let (send, next) = oneshot::channel();
            let user = table.users.entry(self.user).or_default();
            user.waiting.push_back(send);
            if user.waiting.len() == 1 {
                table.order.push_back(self.user);
            }
            next
        };
        // Turns are always passed on; if all holders were gone, one would be free.
        next.await.unwrap_or(Turn(None))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        table.asked -= 1;
        if let Some(user) = table.users.get_mut(&self.user) {
            user.asked -= 1;
            if user.asked == 0 {
                // Those who waited are gone, or they would count.
                table.users.remove(&self.user);
                table.order.retain(|user| *user != self.user);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut table = shared.table();
        while let Some(id) = table.order.pop_front() {
            let Some(user) = table.users.get_mut(&id) else { continue };
            let next = user.waiting.pop_front();
            if !user.waiting.is_empty() {
                table.order.push_back(id);
            }
            // One that no longer waits passes it back, which must not recurse here.
            match next.map(|next| next.send(Self(Some(Arc::clone(&shared))))) {
                Some(Ok(())) => return,
                Some(Err(mut refused)) => drop(refused.0.take()),
                None => {}
            }
        }
        table.working -= 1;
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work in progress, cancelled when nobody wants it any more.
struct Working<T>(JoinHandle<Result<T>>);

impl<T> Future for Working<T> {
    type Output = Result<T>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|done| match done {
            Ok(done) => done,
            Err(error) => Err(Error::Internal(error.to_string())),
        })
    }
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Finished JSON, sent piece by piece: compressing it must not keep a thread from others for long.
pub(super) fn json_in_pieces(json: Vec<u8>) -> Response {
    let pieces = futures_util::stream::unfold(Bytes::from(json), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::task::yield_now().await;
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok::<_, std::io::Error>(piece), rest))
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    // Compression polls once more after the end.
    (kind, Body::from_stream(futures_util::StreamExt::fuse(pieces))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn questions(at_once: usize) -> Questions {
        let shared = Shared { threads: Handle::current(), at_once, table: Mutex::default() };
        Questions(Arc::new(shared))
    }

    #[tokio::test]
    async fn a_user_who_asks_too_much_is_told_and_others_are_not() {
        let questions = questions(1);
        let asked: Vec<_> = std::iter::from_fn(|| questions.ask(1).ok()).collect();
        assert_eq!(asked.len(), MAX_OF_USER);
        assert!(questions.ask(2).is_ok());
        drop(asked);
        assert!(questions.ask(1).is_ok());
        let all: Vec<_> = (0..1000).filter_map(|user| questions.ask(user).ok()).collect();
        assert_eq!(all.len(), MAX_OF_ALL);
    }

    #[tokio::test]
    async fn users_take_turns_whatever_each_has_asked() {
        let questions = questions(1);
        let asked = [1, 1, 1, 1, 2, 3, 3].map(|user| questions.ask(user).unwrap());
        let mut working = asked[0].turn().await;
        let mut waiting: Vec<_> =
            asked[1..].iter().map(|question| (question.user, Box::pin(question.turn()))).collect();
        for (_, turn) in &mut waiting {
            assert!(turn.as_mut().now_or_never().is_none(), "one at a time");
        }
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(working);
            let mut ready = waiting.iter_mut().enumerate();
            let next = ready.find_map(|(at, (_, turn))| Some((at, turn.as_mut().now_or_never()?)));
            let (at, turn) = next.expect("somebody's turn");
            working = turn;
            order.push(waiting.remove(at).0);
        }
        assert_eq!(order, [1, 2, 3, 1, 3, 1]);
    }

    #[tokio::test]
    async fn who_goes_while_waiting_holds_nobody_up_and_nothing_is_left() {
        let questions = questions(1);
        let (a, b, c) = (questions.ask(1).unwrap(), questions.ask(2).unwrap(), questions.ask(3).unwrap());
        let working = a.turn().await;
        let mut gone = Box::pin(b.turn());
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(c.turn());
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(b);
        drop(working);
        let turn = next.as_mut().now_or_never().expect("the one that has gone is passed over");
        drop(next);
        // One that gets a turn and goes before taking it.
        let mut given = Box::pin(a.turn());
        assert!(given.as_mut().now_or_never().is_none());
        drop(turn);
        drop(given);
        drop((a, c));
        let table = questions.0.table();
        assert_eq!((table.asked, table.working, table.users.len(), table.order.len()), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_given_up() {
        let questions = questions(1);
        let question = questions.ask(1).unwrap();
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut work = Box::pin(question.work(async move {
            let _alive = alive;
            std::future::pending::<Result<()>>().await
        }));
        assert!(work.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
        drop(work);
        assert_eq!(ended.recv().await, None);
        question.work(async { Ok(()) }).await.expect("its turn was given back");
    }
}
