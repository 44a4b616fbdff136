//! The last hour of every host's [`Measures`], by the minute, as each hub has it in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::measures::{COUNT, Measures};

/// Minutes kept of a host.
pub const MINUTES: usize = RING as usize;
const RING: i64 = 60;
const MINUTE: i64 = 60_000_000;
/// More hosts than a fleet has; further ones are not noted. They would take 45 MB.
const MAX_HOSTS: usize = 20_000;

/// One measure's averages, oldest first.
pub type Course = [Option<f32>; MINUTES];

/// The sums of a minute.
#[derive(Debug, Clone, Copy)]
struct Sums {
    /// Since the epoch; which one this place of the ring holds.
    minute: i64,
    sums: [f32; COUNT],
    counts: [u8; COUNT],
}

impl Sums {
    const fn none() -> Self {
        Self { minute: i64::MIN, sums: [0.0; COUNT], counts: [0; COUNT] }
    }

    fn add(&mut self, measures: &Measures) {
        for (n, value) in measures.values().into_iter().enumerate() {
            if let Some(value) = value
                && self.counts[n] < u8::MAX
            {
                self.sums[n] += value;
                self.counts[n] += 1;
            }
        }
    }

    fn average(&self, measure: usize) -> Option<f32> {
        let count = self.counts[measure];
        (count > 0).then(|| (self.sums[measure] / f32::from(count) * 10.0).round() / 10.0)
    }
}

#[derive(Debug)]
struct Known {
    /// The newest, and when it was measured (µs): heard, or of a stored minute.
    newest: Option<(i64, Measures)>,
    /// Until when there is history of it in the store, µs.
    stored: Option<i64>,
    /// A ring.
    minutes: Box<[Sums; MINUTES]>,
}

impl Known {
    fn minute(&mut self, at: i64) -> Option<&mut Sums> {
        let minute = at.div_euclid(MINUTE);
        let sums = &mut self.minutes[minute.rem_euclid(RING) as usize];
        // Of an hour ago, or of an hour later than what is here.
        if sums.minute > minute {
            return None;
        }
        if sums.minute < minute {
            *sums = Sums { minute, ..Sums::none() };
        }
        Some(sums)
    }
}

/// What is known of a host.
#[derive(Debug, Clone, Default)]
pub struct Now {
    pub measures: Measures,
    /// When they were measured, µs.
    pub at: Option<i64>,
    /// Until when there is history of it in the store, µs; what another hub has stored is known within a minute.
    pub stored: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct Courses(Arc<Mutex<HashMap<String, Known>>>);

impl Courses {
    /// Notes what came with a sign of life, by this hub's clock (µs).
    pub fn note(&self, host: &str, at: i64, measures: &Measures) {
        let measures = measures.plausible();
        if measures.is_empty() {
            return;
        }
        self.change(host, |known| {
            known.newest = Some((at, measures));
            if let Some(minute) = known.minute(at) {
                minute.add(&measures);
            }
        });
    }

    /// Puts in the averages of stored minutes, each with its start (µs), where nothing is known yet.
    pub fn fill(&self, host: &str, minutes: &[(i64, Measures)]) {
        self.change(host, |known| {
            for (at, measures) in minutes {
                if let Some(minute) = known.minute(*at).filter(|minute| minute.counts == [0; COUNT]) {
                    minute.add(measures);
                }
                if known.newest.is_none_or(|(newest, _)| newest < *at) {
                    known.newest = Some((*at, *measures));
                }
            }
        });
    }

    /// Notes until when there is history in the store (µs).
    pub fn note_stored(&self, host: &str, newest: i64) {
        self.change(host, |known| known.stored = known.stored.max(Some(newest)));
    }

    pub fn now(&self, host: &str) -> Now {
        let hosts = self.hosts();
        let Some(known) = hosts.get(host) else { return Now::default() };
        let (at, measures) = known.newest.unzip();
        Now { measures: measures.unwrap_or_default(), at, stored: known.stored }
    }

    /// The hour that ends with the minute of `now` (µs), in the order of [`Measures::values`]; `None` for a measure that
    /// has no value in it.
    pub fn hour(&self, host: &str, now: i64) -> [Option<Course>; COUNT] {
        let mut courses = [None; COUNT];
        let hosts = self.hosts();
        let Some(known) = hosts.get(host) else { return courses };
        let first = first_minute(now);
        for sums in &*known.minutes {
            let Ok(place) = usize::try_from(sums.minute.saturating_sub(first)) else { continue };
            for (n, course) in courses.iter_mut().enumerate() {
                if let (true, Some(average)) = (place < MINUTES, sums.average(n)) {
                    course.get_or_insert([None; MINUTES])[place] = Some(average);
                }
            }
        }
        courses
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Known)) {
        let mut hosts = self.hosts();
        if let Some(known) = hosts.get_mut(host) {
            return change(known);
        }
        if hosts.len() < MAX_HOSTS {
            let mut known = Known { newest: None, stored: None, minutes: Box::new([Sums::none(); MINUTES]) };
            change(&mut known);
            hosts.insert(host.to_owned(), known);
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first minute, since the epoch, of the hour that ends with that of `now` (µs).
const fn first_minute(now: i64) -> i64 {
    now.div_euclid(MINUTE) - (RING - 1)
}

/// When the hour begins that ends with the minute of `now`, µs.
pub const fn hour_start(now: i64) -> i64 {
    first_minute(now) * MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000 * 1_000_000;

    fn cpu(percent: f32) -> Measures {
        Measures { cpu_percent: Some(percent), ..Measures::default() }
    }

    #[test]
    fn signs_of_life_become_averages_of_minutes() {
        let courses = Courses::default();
        let start = NOW.div_euclid(MINUTE) * MINUTE;
        courses.note("a", start, &cpu(10.0));
        courses.note("a", start + 10_000_000, &cpu(20.0));
        courses.note("a", start + MINUTE, &cpu(50.0));
        let hour = courses.hour("a", start + MINUTE);
        let course = hour[0].unwrap();
        assert_eq!(&course[57..], [None, Some(15.0), Some(50.0)]);
        assert!(hour[1..].iter().all(Option::is_none), "nothing else was sent");
        let now = courses.now("a");
        assert_eq!((now.measures, now.at), (cpu(50.0), Some(start + MINUTE)));
        // An hour later nothing of it is left, though it is still there.
        assert!(courses.hour("a", start + 61 * MINUTE)[0].is_none());
        assert!(courses.hour("unknown", start)[0].is_none());
    }

    #[test]
    fn stored_minutes_fill_gaps_only() {
        let courses = Courses::default();
        let start = NOW.div_euclid(MINUTE) * MINUTE;
        courses.note("a", start, &cpu(10.0));
        courses.fill("a", &[(start - 2 * MINUTE, cpu(1.0)), (start - MINUTE, cpu(2.0)), (start, cpu(99.0))]);
        assert_eq!(
            courses.hour("a", start).map(|course| course.map(|course| course[56..].to_vec()))[0],
            Some(vec![None, Some(1.0), Some(2.0), Some(10.0)])
        );
        assert_eq!(courses.now("a").measures, cpu(10.0));
        // What is older than the ring does not replace what is in it.
        courses.fill("a", &[(start - 60 * MINUTE, cpu(3.0))]);
        assert_eq!(courses.hour("a", start)[0].unwrap()[59], Some(10.0));
    }

    #[test]
    fn a_fleet_beyond_the_limit_is_not_noted() {
        let courses = Courses::default();
        for n in 0..=MAX_HOSTS {
            courses.note(&n.to_string(), NOW, &cpu(1.0));
        }
        assert_eq!(courses.hosts().len(), MAX_HOSTS);
        assert_eq!(courses.now(&MAX_HOSTS.to_string()).at, None);
    }
}
