//! Sets of CPU numbers in the kernel's list format (`0-3,6`), as in `/sys/devices/system/cpu/online`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A non-empty, ordered set of CPU numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(BTreeSet<u32>);

/// The kernel's own ceiling (`CONFIG_NR_CPUS` on the largest distributions' builds).
const MAX_CPU: u32 = 8191;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    #[error("expected a CPU list such as 0-3,6")]
    Malformed,
    #[error("CPU numbers must not exceed {MAX_CPU}")]
    TooLarge,
}

impl CpuList {
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        let number = |digits: &str| -> Result<u32, CpuListError> {
            let digits = digits.trim();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(CpuListError::Malformed);
            }
            match digits.parse() {
                Ok(cpu) if cpu <= MAX_CPU => Ok(cpu),
                _ => Err(CpuListError::TooLarge),
            }
        };
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',') {
            match part.split_once('-') {
                None => {
                    cpus.insert(number(part)?);
                }
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if first > last {
                        return Err(CpuListError::Malformed);
                    }
                    cpus.extend(first..=last);
                }
            }
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    /// Writes the shortest list format: runs as ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut first_part = true;
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            if !first_part {
                f.write_str(",")?;
            }
            first_part = false;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_kernels_format() {
        let list: CpuList = "0-3,6\n".parse().unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 6]);
        assert_eq!(list.to_string(), "0-3,6");
    }

    #[test]
    fn refuses_what_is_not_a_list() {
        for bad in ["", ",", "1,", "a", "3-1", "-1", "1--2", "+1", "0x1", "1-2-3"] {
            assert_eq!(bad.parse::<CpuList>(), Err(CpuListError::Malformed), "{bad:?}");
        }
        assert_eq!("0-99999999999".parse::<CpuList>(), Err(CpuListError::TooLarge));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<CpuList>();
        }

        #[test]
        fn round_trips(cpus in proptest::collection::btree_set(0u32..300, 1..40)) {
            let list: CpuList = cpus.into_iter().collect();
            prop_assert_eq!(list.to_string().parse::<CpuList>().unwrap(), list);
        }
    }
}
