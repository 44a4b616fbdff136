//! Patterns for labels: `*` and `?`, alternatives after `|`, `!` before all of it for any others.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    others: bool,
    alternatives: Vec<String>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        let (others, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Self { others, alternatives: rest.split('|').map(|part| part.trim().to_owned()).collect() }
    }

    pub fn has(&self, text: &str) -> bool {
        self.has_any(&[text])
    }

    /// Of something that has several names.
    pub fn has_any(&self, names: &[&str]) -> bool {
        let fits_one = |pattern: &String| names.iter().any(|name| fits(pattern.as_bytes(), name.as_bytes()));
        self.alternatives.iter().any(fits_one) != self.others
    }
}

/// Linear in practice: only the last `*` is tried again.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, text, has) in [
            ("sda", "sda", true),
            ("sda", "sdab", false),
            ("sd*", "sda1", true),
            ("sd?|nvme*", "nvme0n1", true),
            ("!/boot*", "/boot/efi", false),
            ("!/boot*", "/", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).has(text), has, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_ends_and_a_text_fits_itself(pattern in "[*?ab|!]{0,40}", text in "[ab]{0,200}") {
            let _ = Pattern::new(&pattern).has(&text);
            prop_assert!(Pattern::new(&text).has(&text));
        }
    }
}
