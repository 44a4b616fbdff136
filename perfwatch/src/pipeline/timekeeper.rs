//! The current time, and waiting for a later one. A test has its own simulated time, which only it advances.

#[cfg(test)]
use std::sync::Arc;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

#[derive(Debug, Clone, Default)]
pub(super) enum Timekeeper {
    #[default]
    Machine,
    #[cfg(test)]
    Test(Arc<TestTime>),
}

impl Timekeeper {
    /// The wall clock, which may be set.
    pub(super) fn wall(&self) -> OffsetDateTime {
        match self {
            Self::Machine => OffsetDateTime::now_utc(),
            #[cfg(test)]
            Self::Test(time) => time.wall(),
        }
    }

    /// The monotonic clock.
    pub(super) fn monotonic(&self) -> Instant {
        match self {
            Self::Machine => Instant::now(),
            #[cfg(test)]
            Self::Test(time) => time.monotonic(),
        }
    }

    /// Time that the machine has been suspended since boot.
    pub(super) fn suspended(&self) -> Duration {
        match self {
            Self::Machine => {
                let now = |clock| {
                    let now = clock_gettime(clock);
                    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
                };
                // In this order, a suspend between the two readings is not counted twice.
                let (boot, ran) = (now(ClockId::Boottime), now(ClockId::Monotonic));
                boot.saturating_sub(ran)
            }
            #[cfg(test)]
            Self::Test(_) => Duration::ZERO,
        }
    }

    /// Waits for `wait`, until woken, or spuriously.
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

    /// A test's two clocks.
    pub(in super::super) struct TestTime {
        began: Instant,
        began_wall: OffsetDateTime,
        /// Elapsed monotonic time.
        elapsed: watch::Sender<Duration>,
        /// How far the wall clock was set.
        set_by: Mutex<time::Duration>,
        /// How long the current waiter waits.
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

        /// Reports each move of the monotonic clock.
        pub(in super::super) fn moves(&self) -> watch::Receiver<Duration> {
            self.elapsed.subscribe()
        }

        pub(in super::super) fn waits(&self, wait: Option<Duration>) {
            self.waiting.send_replace(wait);
        }

        /// Waits until someone waits for at most `most`; returns how long that is.
        pub(in super::super) async fn until_waited_for(&self, most: Duration) -> Duration {
            let mut waiting = self.waiting.subscribe();
            let waits = waiting.wait_for(|wait| wait.is_some_and(|wait| wait <= most)).await.unwrap();
            waits.unwrap()
        }

        /// Registers a callback for each move of either clock.
        pub(in super::super) fn on_move(&self, waker: impl Fn(&Self) + Send + Sync + 'static) {
            self.wakers.lock().unwrap().push(Box::new(waker));
        }

        /// Advances time.
        pub(in super::super) fn advance(&self, by: Duration) {
            self.elapsed.send_modify(|elapsed| *elapsed += by);
            self.wake();
        }

        /// Sets the wall clock, as a user or a suspend would.
        pub(in super::super) fn set_wall(&self, by: time::Duration) {
            *self.set_by.lock().unwrap() += by;
            self.wake();
        }

        fn wake(&self) {
            self.wakers.lock().unwrap().iter().for_each(|waker| waker(self));
        }
    }
}
