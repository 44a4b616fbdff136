//! The readings of one tick. The sampling thread collects them; the round is then taken exactly once, by that thread
//! when it is done or by its supervisor after the deadline.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::deadline::Deadline;
use super::timekeeper::Timekeeper;
use crate::snapshot::Reading;
use crate::snapshot::missed::Missed;
use crate::snapshot::source::Report;

#[derive(Debug)]
pub(super) struct Round {
    pub at: OffsetDateTime,
    /// False for the round that primes the rates.
    pub on_grid: bool,
    /// What was missed before it.
    pub missed: Option<Missed>,
    /// Time between rounds.
    pub interval: Duration,
    /// Time limit for the sources.
    pub patience: Duration,
    /// One entry per source; `None` until it has responded.
    pub answers: Vec<Option<(Reading, Report)>>,
}

#[derive(Debug)]
pub(super) struct Rounds {
    state: Mutex<State>,
    deadline: Deadline,
    time: Timekeeper,
}

#[derive(Debug)]
struct State {
    /// Number of the latest round.
    number: u64,
    /// The round in progress, and when it is overdue.
    current: Option<(Round, Instant)>,
}

impl Rounds {
    pub(super) fn new(time: Timekeeper) -> io::Result<Self> {
        let state = Mutex::new(State { number: 0, current: None });
        Ok(Self { state, deadline: Deadline::new(&time)?, time })
    }

    /// Begins a round, replacing the previous one; returns its number.
    pub(super) fn begin(&self, round: Round) -> u64 {
        // Must not be later than the supervisor's wake-up.
        let overdue = self.time.monotonic() + round.patience;
        self.deadline.set(round.patience);
        let mut state = self.state();
        state.number += 1;
        state.current = Some((round, overdue));
        state.number
    }

    /// Returns false if that round is no longer in progress.
    pub(super) fn answer(&self, number: u64, source: usize, answer: (Reading, Report)) -> bool {
        let mut state = self.state();
        if state.number != number {
            return false;
        }
        let Some((round, _)) = &mut state.current else { return false };
        round.answers[source] = Some(answer);
        true
    }

    /// The round with all its answers, unless it has already been taken.
    pub(super) fn finish(&self, number: u64) -> Option<Round> {
        let mut state = self.state();
        if state.number != number {
            return None;
        }
        let (round, _) = state.current.take()?;
        self.deadline.call_off();
        Some(round)
    }

    /// Waits until a round is overdue. Cancel-safe.
    pub(super) async fn overdue(&self) {
        self.deadline.passed().await;
    }

    /// Takes the overdue round, if there still is one.
    pub(super) fn take_overdue(&self) -> Option<Round> {
        let now = self.time.monotonic();
        let mut state = self.state();
        state.current.take_if(|(_, overdue)| *overdue <= now).map(|(round, _)| round)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::super::timekeeper::TestTime;
    use super::*;
    use crate::snapshot::MetricType;
    use crate::snapshot::source::Method;

    fn round(patience: Duration) -> Round {
        Round {
            at: OffsetDateTime::UNIX_EPOCH,
            on_grid: true,
            missed: None,
            interval: Duration::from_secs(1),
            patience,
            answers: vec![None, None],
        }
    }

    fn answer() -> (Reading, Report) {
        let report = Report::active("cpu", MetricType::Cpu, Method::Procfs);
        (Reading::failed(MetricType::Cpu, OffsetDateTime::UNIX_EPOCH, "of this test"), report)
    }

    const PATIENCE: Duration = Duration::from_millis(20);

    fn is_pending(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn rounds() -> (Arc<TestTime>, Rounds) {
        let time = TestTime::new(OffsetDateTime::UNIX_EPOCH);
        let rounds = Rounds::new(Timekeeper::Test(Arc::clone(&time))).unwrap();
        (time, rounds)
    }

    #[tokio::test]
    async fn a_finished_round_is_never_overdue() {
        let (time, rounds) = rounds();
        let number = rounds.begin(round(PATIENCE));
        assert!(rounds.answer(number, 1, answer()));
        let finished = rounds.finish(number).unwrap();
        assert!(finished.answers[0].is_none() && finished.answers[1].is_some());
        time.advance(5 * PATIENCE);
        assert!(is_pending(rounds.overdue()), "the deadline was called off");
        assert!(rounds.take_overdue().is_none());
    }

    #[tokio::test]
    async fn an_overdue_round_is_taken_with_what_it_has_and_its_thread_learns_of_it() {
        let (time, rounds) = rounds();
        let number = rounds.begin(round(PATIENCE));
        assert!(rounds.answer(number, 0, answer()));
        assert!(rounds.take_overdue().is_none(), "it has time left");
        time.advance(PATIENCE);
        rounds.overdue().await;
        let taken = rounds.take_overdue().unwrap();
        assert!(taken.answers[0].is_some() && taken.answers[1].is_none());

        assert!(!rounds.answer(number, 1, answer()));
        assert!(rounds.finish(number).is_none());
        let next = rounds.begin(round(Duration::from_secs(60)));
        assert!(!rounds.answer(number, 1, answer()), "the next round is another thread's");
        assert!(rounds.finish(number).is_none());
        assert!(rounds.finish(next).is_some_and(|round| round.answers[1].is_none()));
    }

    #[tokio::test]
    async fn the_machine_s_own_timer_passes_and_can_be_called_off() {
        let deadline = Deadline::new(&Timekeeper::Machine).unwrap();
        deadline.set(Duration::from_nanos(1));
        deadline.passed().await;
        deadline.set(Duration::from_secs(3600));
        deadline.call_off();
        assert!(is_pending(deadline.passed()));
    }
}
