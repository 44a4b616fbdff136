//! The values of a previewed rule over time, thinned to what a chart shows: of each stretch the worst.

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::Direction;
use super::labels::Labels;
use super::thing::Thing;

/// Stretches that a range is divided into at most.
const MAX_STRETCHES: i64 = 400;
/// Things that are drawn: those that come nearest to being raised.
pub const MAX_DRAWN: usize = 6;

/// What the rule's function was for one thing.
#[derive(Debug, PartialEq)]
pub struct Course {
    pub host: String,
    pub labels: Labels,
    /// One for each stretch; `None` where there is none, or it is infinite.
    pub values: Vec<Option<f64>>,
}

impl Course {
    /// Its worst value, unless it has none.
    pub fn worst(&self, direction: Direction) -> Option<f64> {
        let values = self.values.iter().flatten().copied();
        values.reduce(|a, b| if direction.is_beyond(b, a) { b } else { a })
    }
}

/// The worst first.
pub fn sort(courses: &mut [Course], direction: Direction) {
    courses.sort_by(|one, other| {
        let values = (one.worst(direction).unwrap_or_default(), other.worst(direction).unwrap_or_default());
        let order = match direction {
            Direction::Above => values.1.total_cmp(&values.0),
            Direction::Below => values.0.total_cmp(&values.1),
        };
        order.then_with(|| (&one.host, &one.labels).cmp(&(&other.host, &other.labels)))
    });
}

#[derive(Debug)]
pub struct Courses {
    host: String,
    from: i64,
    /// Length of a stretch, µs.
    width: i64,
    direction: Direction,
    known: HashMap<Arc<str>, Course>,
}

impl Courses {
    /// Over `from..to`, with a value every `step` at most, all in µs.
    pub fn new(host: &str, from: i64, to: i64, step: i64, direction: Direction) -> Self {
        let steps = ((to - from) / step).max(1);
        let width = step * (steps + MAX_STRETCHES - 1).div_euclid(MAX_STRETCHES).max(1);
        Self { host: host.to_owned(), from, width, direction, known: HashMap::new() }
    }

    pub const fn width(&self) -> i64 {
        self.width
    }

    /// Adds the newest value of each thing, which is that of the step that ended at `at`.
    pub fn add(&mut self, at: i64, things: &[Thing]) {
        let Ok(place) = usize::try_from((at - 1 - self.from) / self.width) else { return };
        for thing in things {
            let Some(value) = thing.value.filter(|value| value.is_finite()) else { continue };
            let new = || Course { host: self.host.clone(), labels: thing.labels.clone(), values: Vec::new() };
            let course = self.known.entry(Arc::clone(&thing.name)).or_insert_with(new);
            if course.values.len() <= place {
                course.values.resize(place + 1, None);
            }
            let known = &mut course.values[place];
            if known.is_none_or(|known| self.direction.is_beyond(value, known)) {
                *known = Some(value);
            }
        }
    }

    /// Those of the things that come nearest to being raised.
    pub fn worst(self) -> Vec<Course> {
        let Self { direction, known, .. } = self;
        let mut all: Vec<Course> =
            known.into_values().filter(|course| course.worst(direction).is_some()).collect();
        sort(&mut all, direction);
        all.truncate(MAX_DRAWN);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(name: &str, value: f64) -> Thing {
        let mut thing = Thing::new(Labels::from([("device".to_owned(), name.to_owned())]), None);
        thing.value = Some(value);
        thing
    }

    #[test]
    fn each_stretch_has_its_worst_value_and_the_worst_things_come_first() {
        let minute = 60_000_000;
        let mut courses = Courses::new("h", 0, 800 * minute, minute, Direction::Above);
        assert_eq!(courses.width(), 2 * minute);
        courses.add(minute, &[thing("a", 5.0), thing("b", 1.0)]);
        courses.add(2 * minute, &[thing("a", 3.0), thing("b", f64::INFINITY)]);
        courses.add(6 * minute, &[thing("a", 4.0), thing("b", 9.0)]);
        let found = courses.worst();
        assert_eq!(found[0].values, [Some(1.0), None, Some(9.0)]);
        assert_eq!(found[1].values, [Some(5.0), None, Some(4.0)]);
    }

    #[test]
    fn low_values_are_the_worst_of_rules_that_fire_below() {
        let mut courses = Courses::new("h", 0, 1000, 1, Direction::Below);
        let all: Vec<Thing> = (0..10).map(|n| thing(&n.to_string(), f64::from(n))).collect();
        courses.add(1, &all);
        courses.add(2, &[thing("7", -1.0)]);
        let found = courses.worst();
        assert_eq!(found.len(), MAX_DRAWN);
        assert_eq!(found[0].labels["device"], "7");
        assert_eq!(found[0].values, [Some(-1.0)]);
    }
}
