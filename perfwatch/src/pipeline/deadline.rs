//! A deadline at which a waiting task is woken, unless it is disarmed before. Arming and disarming, which every tick does,
//! wake nobody.
#![allow(unsafe_code)] // registering a descriptor has no safe wrapper

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(super) struct Deadline(AsyncFd<OwnedFd>);

impl Deadline {
    /// Belongs to the current runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an owned descriptor is open and the same for as long as it lasts.
        Ok(Self(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?))
    }

    pub(super) fn set(&self, after: Duration) {
        let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
        self.settime(Timespec { tv_sec: seconds, tv_nsec: i64::from(after.subsec_nanos()) });
    }

    pub(super) fn call_off(&self) {
        self.settime(Timespec { tv_sec: 0, tv_nsec: 0 });
    }

    fn settime(&self, value: Timespec) {
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).expect("a timer and a valid time");
    }

    /// Waits until the moment that was set has come. Cancel-safe.
    pub(super) async fn passed(&self) {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
            // If it was just disarmed, there is nothing to read.
            let passed = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
            if matches!(passed, Ok(Ok(_))) {
                return;
            }
        }
    }
}
