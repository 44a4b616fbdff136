//! `/proc/pressure/*` as is.

use crate::kernel_files::fields::{self, Fields, lines};

/// A line such as `some avg10=2.47 avg60=2.35 avg300=0.78 total=44418991`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stall {
    /// Percent of the last 10 s.
    pub(super) avg10: f64,
    pub(super) avg60: f64,
    pub(super) avg300: f64,
    /// µs since boot.
    pub(super) total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resource {
    /// At least one task was stalled.
    pub(super) some: Stall,
    /// All runnable tasks were stalled. Not reported for the CPU before Linux 5.13.
    pub(super) full: Option<Stall>,
}

/// CPU, memory and I/O; `None` if this kernel does not report it.
pub(super) type Raw = [Option<Resource>; 3];

/// `None` if the text is not one of these files. A malformed line yields nothing.
pub(super) fn parse(text: &[u8]) -> Option<Resource> {
    let (mut some, mut full) = (None, None);
    for line in lines(text) {
        let mut words = Fields::new(line);
        match words.word() {
            Some(b"some") => some = stall(&mut words),
            Some(b"full") => full = stall(&mut words),
            _ => {}
        }
    }
    Some(Resource { some: some?, full })
}

fn stall(words: &mut Fields<'_>) -> Option<Stall> {
    let mut value = |name: &str| words.word()?.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    let percent = |word: &[u8]| fields::float(word).filter(|percent| *percent >= 0.0);
    // An average may slightly exceed 100, because the kernel samples it.
    let mut average = |name| value(name).and_then(percent).map(|percent| percent.min(100.0));
    Some(Stall {
        avg10: average("avg10")?,
        avg60: average("avg60")?,
        avg300: average("avg300")?,
        total: value("total").and_then(fields::number)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_cost_no_other() {
        let some = "some avg10=105.32 avg60=2.35 avg300=0.78 total=44418991\n";
        for broken in [
            "",
            "\n",
            "full\n",
            "full avg10=nan avg60=0 avg300=0 total=1\n",
            "full avg10=-1 avg60=0 avg300=0 total=1\n",
        ] {
            for text in [format!("{some}{broken}"), format!("{broken}{some}")] {
                let resource = parse(text.as_bytes()).unwrap();
                assert_eq!(
                    (resource.some.avg10, resource.some.total, resource.full),
                    (100.0, 44_418_991, None)
                );
            }
        }
        assert_eq!(parse(b"full avg10=1 avg60=0 avg300=0 total=1\n"), None);
    }
}
