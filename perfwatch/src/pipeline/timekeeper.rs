//! What time it is, and waking who waits for one. A test has a time of its own, which stands still until it moves it.

#[cfg(test)]
use std::sync::Arc;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

#[derive(Debug, Clone, Default)]
pub(super) enum Timekeeper {
    #[default]
    Machine,
    #[cfg(test)]
    Test(Arc<TestTime>),
}

impl Timekeeper {
    /// By the clock on the wall, which may be set.
    pub(super) fn wall(&self) -> OffsetDateTime {
        match self {
            Self::Machine => OffsetDateTime::now_utc(),
            #[cfg(test)]
            Self::Test(time) => time.wall(),
        }
    }

    /// By the clock that only goes on.
    pub(super) fn monotonic(&self) -> Instant {
        match self {
            Self::Machine => Instant::now(),
            #[cfg(test)]
            Self::Test(time) => time.monotonic(),
        }
    }

    /// Waits for `wait` or until woken, or for no reason.
    pub(super) fn wait<'g, T>(
        &self,
        changed: &Condvar,
        guard: MutexGuard<'g, T>,
        wait: Duration,
    ) -> MutexGuard<'g, T> {
        match self {
            Self::Machine => changed.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0,
            #[cfg(test)]
            Self::Test(time) => {
                time.waits(Some(wait));
                let guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                time.waits(None);
                guard
            }
        }
    }
}

#[cfg(test)]
pub(super) use test_time::TestTime;

#[cfg(test)]
mod test_time {
    use std::fmt;
    use std::sync::Mutex;

    use tokio::sync::watch;

    use super::*;

    type Waker = Box<dyn Fn(&TestTime) + Send + Sync>;

    /// Two clocks of one test.
    pub(in super::super) struct TestTime {
        began: Instant,
        began_wall: OffsetDateTime,
        /// On the monotonic clock.
        elapsed: watch::Sender<Duration>,
        /// How far the wall clock was set, in seconds.
        set_by: Mutex<time::Duration>,
        /// For how long someone waits now.
        waiting: watch::Sender<Option<Duration>>,
        wakers: Mutex<Vec<Waker>>,
    }

    impl fmt::Debug for TestTime {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "TestTime({:?})", self.elapsed())
        }
    }

    impl TestTime {
        pub(in super::super) fn new(wall: OffsetDateTime) -> Arc<Self> {
            Arc::new(Self {
                began: Instant::now(),
                began_wall: wall,
                elapsed: watch::Sender::new(Duration::ZERO),
                set_by: Mutex::new(time::Duration::ZERO),
                waiting: watch::Sender::new(None),
                wakers: Mutex::new(Vec::new()),
            })
        }

        pub(in super::super) fn wall(&self) -> OffsetDateTime {
            self.began_wall + self.elapsed() + *self.set_by.lock().unwrap()
        }

        pub(super) fn monotonic(&self) -> Instant {
            self.began + self.elapsed()
        }

        pub(in super::super) fn elapsed(&self) -> Duration {
            *self.elapsed.borrow()
        }

        /// Tells of each move of the monotonic clock.
        pub(in super::super) fn moves(&self) -> watch::Receiver<Duration> {
            self.elapsed.subscribe()
        }

        pub(in super::super) fn waits(&self, wait: Option<Duration>) {
            self.waiting.send_replace(wait);
        }

        /// Returns when someone waits for no longer than `most`, and for how long.
        pub(in super::super) async fn until_waited_for(&self, most: Duration) -> Duration {
            let mut waiting = self.waiting.subscribe();
            let waits = waiting.wait_for(|wait| wait.is_some_and(|wait| wait <= most)).await.unwrap();
            waits.unwrap()
        }

        /// To be called after each move of either clock.
        pub(in super::super) fn on_move(&self, waker: impl Fn(&Self) + Send + Sync + 'static) {
            self.wakers.lock().unwrap().push(Box::new(waker));
        }

        /// Lets time pass.
        pub(in super::super) fn advance(&self, by: Duration) {
            self.elapsed.send_modify(|elapsed| *elapsed += by);
            self.wake();
        }

        /// Sets the wall clock, as someone may, and as it is after a suspend.
        pub(in super::super) fn set_wall(&self, by: time::Duration) {
            *self.set_by.lock().unwrap() += by;
            self.wake();
        }

        fn wake(&self) {
            self.wakers.lock().unwrap().iter().for_each(|waker| waker(self));
        }
    }
}
