//! A deadline at which a waiting task is woken, unless it is disarmed first. Arming and disarming, which happen at
//! every tick, wake no task.
#![allow(unsafe_code)] // registering a descriptor has no safe wrapper

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[cfg(test)]
use super::timekeeper::TestTime;
use super::timekeeper::Timekeeper;

#[derive(Debug)]
pub(super) enum Deadline {
    Timer(AsyncFd<OwnedFd>),
    #[cfg(test)]
    Test(TestDeadline),
}

impl Deadline {
    /// Belongs to the current runtime.
    pub(super) fn new(time: &Timekeeper) -> io::Result<Self> {
        match time {
            Timekeeper::Machine => {}
            #[cfg(test)]
            Timekeeper::Test(time) => return Ok(Self::Test(TestDeadline::new(time))),
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an owned descriptor is open and the same for as long as it lasts.
        Ok(Self::Timer(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?))
    }

    pub(super) fn set(&self, after: Duration) {
        match self {
            Self::Timer(timer) => {
                let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
                settime(timer, Timespec { tv_sec: seconds, tv_nsec: i64::from(after.subsec_nanos()) });
            }
            #[cfg(test)]
            Self::Test(deadline) => deadline.set(Some(after)),
        }
    }

    pub(super) fn call_off(&self) {
        match self {
            Self::Timer(timer) => settime(timer, Timespec { tv_sec: 0, tv_nsec: 0 }),
            #[cfg(test)]
            Self::Test(deadline) => deadline.set(None),
        }
    }

    /// Waits until the deadline has passed. Cancel-safe.
    pub(super) async fn passed(&self) {
        match self {
            Self::Timer(timer) => loop {
                let Ok(mut ready) = timer.readable().await else { return std::future::pending().await };
                // If it was disarmed just now, there is nothing to read.
                let passed = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
                if matches!(passed, Ok(Ok(_))) {
                    return;
                }
            },
            #[cfg(test)]
            Self::Test(deadline) => deadline.passed().await,
        }
    }
}

fn settime(timer: &AsyncFd<OwnedFd>, value: Timespec) {
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).expect("a timer and a valid time");
}

/// Uses the test's own time.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct TestDeadline {
    time: std::sync::Arc<TestTime>,
    due: std::sync::Mutex<Option<Duration>>,
}

#[cfg(test)]
impl TestDeadline {
    fn new(time: &std::sync::Arc<TestTime>) -> Self {
        Self { time: std::sync::Arc::clone(time), due: std::sync::Mutex::new(None) }
    }

    fn set(&self, after: Option<Duration>) {
        *self.due.lock().unwrap() = after.map(|after| self.time.elapsed() + after);
    }

    async fn passed(&self) {
        let mut moves = self.time.moves();
        loop {
            let now = *moves.borrow_and_update();
            if self.due.lock().unwrap().take_if(|due| *due <= now).is_some() {
                return;
            }
            moves.changed().await.unwrap();
        }
    }
}
