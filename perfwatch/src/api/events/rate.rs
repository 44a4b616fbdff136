//! How many events an account may note.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PER_WINDOW: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts in windows of a minute.
#[derive(Debug, Default)]
pub(in crate::api) struct Rate(Mutex<HashMap<i64, (Instant, u32)>>);

impl Rate {
    /// Counts one more, or says how long to wait.
    pub(super) fn admit(&self, account: i64) -> Result<(), Duration> {
        let now = Instant::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, (begun, _)| now - *begun < WINDOW);
        let (begun, count) = counts.entry(account).or_insert((now, 0));
        if *count >= PER_WINDOW {
            return Err(WINDOW - (now - *begun));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_account_has_its_own_minute() {
        let rate = Rate::default();
        for _ in 0..PER_WINDOW {
            rate.admit(1).unwrap();
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(rate.admit(1), Err(Duration::from_secs(40)));
        rate.admit(2).unwrap();
        tokio::time::advance(Duration::from_secs(40)).await;
        rate.admit(1).unwrap();
    }
}
