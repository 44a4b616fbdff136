//! How many messages a channel gets: a few at once, then one after the other.

use std::time::Duration;

use tokio::time::Instant;

/// Part of an hour's messages that may come at once.
const AT_ONCE: f64 = 0.25;
pub const DEFAULT_PER_HOUR: u32 = 60;

/// A token bucket.
#[derive(Debug, Clone)]
pub struct Limit {
    per_hour: f64,
    hour: Duration,
    tokens: f64,
    filled: Instant,
}

impl Limit {
    pub fn new(per_hour: u32, hour: Duration) -> Self {
        let per_hour = f64::from(per_hour.max(1));
        Self { per_hour, hour, tokens: (per_hour * AT_ONCE).max(1.0), filled: Instant::now() }
    }

    pub fn is_for(&self, per_hour: u32) -> bool {
        self.per_hour == f64::from(per_hour.max(1))
    }

    /// How many messages may be sent now.
    pub fn left(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64() / self.hour.as_secs_f64();
        let most = (self.per_hour * AT_ONCE).max(1.0);
        self.tokens = (self.tokens + passed * self.per_hour).min(most);
        self.filled = now;
        self.tokens as usize
    }

    pub fn take(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_at_once_and_then_one_after_the_other() {
        const HOUR: Duration = Duration::from_secs(3600);
        let mut limit = Limit::new(60, HOUR);
        let now = Instant::now();
        assert_eq!(limit.left(now), 15);
        for _ in 0..20 {
            limit.take();
        }
        assert_eq!(limit.left(now), 0);
        assert_eq!(limit.left(now + Duration::from_secs(61)), 1);
        assert_eq!(limit.left(now + 10 * HOUR), 15);
        assert_eq!(Limit::new(1, HOUR).left(now), 1);
    }
}
