//! Maintenance windows: weekly times on the clock of a time zone in which alerts are silenced.
//!
//! A window that begins becomes a silence, so whatever knows silences knows windows, and it can be ended early.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::labels::Labels;
use super::service::Alerts;
use crate::store::alerts::Silence;
use crate::store::maintenance::StoredWindow;

/// It is silent this much before a window begins, so that what happens at its first moment is not told, µs. Longer than the
/// pause between two looks.
const LEAD: i64 = 15_000_000;
/// Days that are searched for the next one: two weeks, as a change of the clock can skip one, and the days at their edges.
const SEARCHED: usize = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Weekday)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A weekly time in which alerts are silenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAlertWindow)]
pub struct Window {
    /// On which it begins.
    #[schema(min_items = 1, max_items = 7)]
    pub days: Vec<Day>,
    /// On the clock of the time zone.
    #[schema(example = "02:00", pattern = "^[0-2][0-9]:[0-5][0-9]$")]
    pub start: String,
    /// Of the next day if it is not after the start.
    #[schema(example = "04:30", pattern = "^[0-2][0-9]:[0-5][0-9]$")]
    pub end: String,
    /// A name of the time zone database.
    #[schema(example = "Europe/Berlin", max_length = 64)]
    pub zone: String,
    /// A name of a rule or a pattern such as `disk-*`; all rules if missing.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub rule: Option<String>,
    /// Patterns by label, as in rules.
    #[serde(default)]
    pub labels: Labels,
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// When a window is.
#[derive(Debug)]
pub struct Schedule {
    days: [bool; 7],
    start: Time,
    end: Time,
    zone: TimeZone,
}

impl Window {
    /// Its times, or the key that is wrong and why.
    pub fn schedule(&self) -> Result<Schedule, (&'static str, &'static str)> {
        const CLOCK: &str = "Expected a time of day such as 02:00";
        let time = |key, text: &str| Time::strptime("%H:%M", text).map_err(|_| (key, CLOCK));
        let mut days = [false; 7];
        for day in &self.days {
            if std::mem::replace(&mut days[*day as usize], true) {
                return Err(("days", "Expected each day once"));
            }
        }
        if !days.contains(&true) {
            return Err(("days", "Expected at least one day"));
        }
        let zone = TimeZone::get(&self.zone)
            .map_err(|_| ("zone", "Expected a time zone such as Europe/Berlin or UTC"))?;
        Ok(Schedule { days, start: time("start", &self.start)?, end: time("end", &self.end)?, zone })
    }
}

impl Schedule {
    /// The one that lasts at this time, or else the next: from and to, µs.
    pub fn next(&self, at: i64) -> Option<(i64, i64)> {
        let now = Timestamp::from_microsecond(at).ok()?;
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        let first = today.yesterday().ok()?;
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(SEARCHED);
        let on = days.filter(|day| self.days[day.weekday().to_monday_zero_offset().unsigned_abs() as usize]);
        on.filter_map(|day| self.on(day)).find(|(from, to)| from < to && at < *to)
    }

    /// Clock times that a change of the clock skips are those as much later; of those that it repeats, the first counts.
    fn on(&self, day: Date) -> Option<(i64, i64)> {
        let moment = |day: Date, time: Time| {
            let zoned = day.to_datetime(time).to_zoned_datetime(self.zone.clone()).ok()?;
            Some(zoned.timestamp().as_microsecond())
        };
        let last = if self.end > self.start { day } else { day.tomorrow().ok()? };
        Some((moment(day, self.start)?, moment(last, self.end)?))
    }
}

impl Alerts {
    /// Silences what windows are about that begin or have begun at a time. Each of their times is silenced once.
    pub async fn keep_windows(&self, at: i64) -> crate::store::Result<()> {
        for stored in self.store().alert_windows().await? {
            let Ok(window) = serde_json::from_str::<Window>(&stored.definition) else { continue };
            let Ok(schedule) = window.schedule() else { continue };
            let Some((from, to)) = schedule.next(at) else { continue };
            if at + LEAD < from || to <= stored.silenced_until {
                continue;
            }
            let silence = silence(&window, &stored, at, to);
            self.store().begin_alert_window(stored.id, &silence).await?;
        }
        Ok(())
    }
}

fn silence(window: &Window, stored: &StoredWindow, at: i64, to: i64) -> Silence {
    Silence {
        id: 0,
        rule: window.rule.clone(),
        labels: serde_json::to_string(&window.labels).unwrap_or_default(),
        author: stored.author.clone(),
        reason: format!("Maintenance: {}", window.reason),
        created_at: at,
        ends_at: to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(days: &[Day], start: &str, end: &str, zone: &str) -> Window {
        Window {
            days: days.to_vec(),
            start: start.to_owned(),
            end: end.to_owned(),
            zone: zone.to_owned(),
            rule: None,
            labels: Labels::new(),
            reason: "updates".to_owned(),
        }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    /// The next time after `now`, as UTC.
    fn next(window: &Window, now: &str) -> [String; 2] {
        let (from, to) = window.schedule().unwrap().next(at(now)).unwrap();
        [from, to].map(|us| Timestamp::from_microsecond(us).unwrap().to_string())
    }

    #[test]
    fn the_clock_of_the_zone_counts_over_a_change_of_the_clock() {
        // The clocks went forward on Sunday, 2026-03-29 at 02:00, and back on 2026-10-25 at 03:00.
        let sunday = window(&[Day::Sun], "01:00", "05:00", "Europe/Berlin");
        assert_eq!(next(&sunday, "2026-03-20T00:00:00Z"), ["2026-03-22T00:00:00Z", "2026-03-22T04:00:00Z"]);
        // Three hours by the watch, and five in autumn.
        assert_eq!(next(&sunday, "2026-03-28T00:00:00Z"), ["2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"]);
        assert_eq!(next(&sunday, "2026-10-24T00:00:00Z"), ["2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z"]);
        assert_eq!(next(&sunday, "2026-10-26T00:00:00Z"), ["2026-11-01T00:00:00Z", "2026-11-01T04:00:00Z"]);
        // Neither 02:00 nor 02:30 exist on that day.
        let skipped = window(&[Day::Sun], "02:00", "02:30", "Europe/Berlin");
        assert_eq!(next(&skipped, "2026-03-28T00:00:00Z"), ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn one_that_lasts_is_the_next_and_nights_belong_to_the_day_they_begin_on() {
        let night = window(&[Day::Fri], "22:00", "06:00", "UTC");
        let expected = ["2026-11-27T22:00:00Z", "2026-11-28T06:00:00Z"];
        assert_eq!(next(&night, "2026-11-28T05:59:59Z"), expected);
        assert_eq!(next(&night, "2026-11-21T06:00:00Z"), expected);
        assert_eq!(next(&night, "2026-11-28T06:00:00Z")[0], "2026-12-04T22:00:00Z");
        let always = window(&[Day::Mon], "00:00", "00:00", "UTC");
        assert_eq!(next(&always, "2026-11-30T12:00:00Z"), ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]);
    }

    #[test]
    fn what_is_no_time_is_named() {
        let wrong = |window: Window| window.schedule().unwrap_err().0;
        assert_eq!(wrong(window(&[], "01:00", "02:00", "UTC")), "days");
        assert_eq!(wrong(window(&[Day::Mon, Day::Mon], "01:00", "02:00", "UTC")), "days");
        assert_eq!(wrong(window(&[Day::Mon], "25:00", "02:00", "UTC")), "start");
        assert_eq!(wrong(window(&[Day::Mon], "01:00", "2", "UTC")), "end");
        assert_eq!(wrong(window(&[Day::Mon], "01:00", "02:00", "Europe/Atlantis")), "zone");
    }

    proptest! {
        #[test]
        fn the_next_one_is_within_eight_days_and_not_over(
            seconds in 0i64..4_000_000_000, day in 0usize..7, start in 0u32..1440, end in 0u32..1440,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        ) {
            const DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
            let clock = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let at = seconds * 1_000_000;
            let schedule = window(&[DAYS[day]], &clock(start), &clock(end), zone).schedule().unwrap();
            let (from, to) = schedule.next(at).unwrap();
            prop_assert!(from < to && at < to);
            prop_assert!(from - at <= 15 * 86_400_000_000, "{from} {at}");
            prop_assert!(to - from <= 25 * 3_600_000_000);
        }
    }
}
