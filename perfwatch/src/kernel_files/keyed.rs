//! Files with `name value` lines, some of which a document wants: `/proc/vmstat`, `/proc/meminfo`.

use super::fields::{Fields, lines};

/// Reads the values of `names`. It knows from the previous text which lines hold them, because a running kernel never
/// changes their order, so most names are not even compared.
#[derive(Debug)]
pub struct Keyed<const N: usize> {
    names: [&'static str; N],
    /// For each line of the file, the name it holds.
    known: Vec<Option<usize>>,
}

impl<const N: usize> Keyed<N> {
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, known: Vec::new() }
    }

    /// The value of each name; `None` if this kernel has no such line.
    pub fn parse(&mut self, text: &[u8]) -> [Option<u64>; N] {
        self.parse_known(text).unwrap_or_else(|| {
            self.known = lines(text)
                .map(|line| {
                    let name = Fields::new(line).word()?;
                    self.names.iter().position(|wanted| wanted.as_bytes() == name)
                })
                .collect();
            self.parse_known(text).unwrap_or([None; N])
        })
    }

    /// `None` if the lines differ from those of the previous text.
    fn parse_known(&self, text: &[u8]) -> Option<[Option<u64>; N]> {
        let mut values = [None; N];
        let mut known = self.known.iter();
        for line in lines(text) {
            if let Some(name) = *known.next()? {
                let rest = line.strip_prefix(self.names[name].as_bytes())?;
                values[name] = Fields::new(rest).number();
            }
        }
        known.next().is_none().then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_lines_wherever_they_stand() {
        let mut file = Keyed::new(["pgpgin", "pgpgout", "oom_kill"]);
        assert_eq!(file.parse(b"nr_free_pages 9\npgpgin 1\npgpgout 2\n"), [Some(1), Some(2), None]);
        assert_eq!(file.parse(b"nr_free_pages 8\npgpgin 5\npgpgout 6\n"), [Some(5), Some(6), None]);
        // Another kernel's file, one line longer, one shorter: located again.
        assert_eq!(file.parse(b"pgpgout 5\nnr_free_pages 9\noom_kill 3\n"), [None, Some(5), Some(3)]);
        assert_eq!(file.parse(b"pgpgout 5\nx 9\noom_kill 3\npgpgin 4\n"), [Some(4), Some(5), Some(3)]);
        assert_eq!(file.parse(b"pgpgout 5\n"), [None, Some(5), None]);
        assert_eq!(file.parse(b""), [None; 3]);
    }

    #[test]
    fn a_unit_may_follow_and_what_is_no_number_is_absent() {
        let mut file = Keyed::new(["MemTotal:", "MemFree:"]);
        assert_eq!(file.parse(b"MemTotal:       24683672 kB\nMemFree: x\n"), [Some(24_683_672), None]);
        assert_eq!(file.parse(b"MemTotal:\nMemFree:\n\n"), [None, None]);
    }
}
