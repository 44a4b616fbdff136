//! Reading the kernel's text: lines of whitespace-separated words and decimal numbers, without allocating.

use std::io::BufRead;

/// The lines of a text, without line endings.
#[derive(Debug, Clone)]
pub struct Lines<'a>(&'a [u8]);

pub fn lines(text: &[u8]) -> Lines<'_> {
    Lines(text)
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let text = self.0;
        // The standard library's fastest search for one byte; on a slice in memory it cannot fail.
        let length = self.0.skip_until(b'\n').unwrap_or(text.len());
        let line = &text[..length];
        Some(line.strip_suffix(b"\n").unwrap_or(line))
    }
}

/// The words of one line, read from left to right.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    pub fn word(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let length = self.0.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// The next word as a number; `None` at the end or if it is not a number, and then nothing is consumed. Some
    /// emulations end lines in CR LF.
    pub fn number(&mut self) -> Option<u64> {
        self.skip_blanks();
        let (value, length) = decimal(self.0)?;
        if !matches!(self.0.get(length), None | Some(b' ' | b'\t' | b'\n' | b'\r')) {
            return None;
        }
        self.0 = &self.0[length..];
        Some(value)
    }

    /// Skips `count` words.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.word().map(|_| ()))
    }
}

/// The decimal number at the start of `text` and its length in bytes.
fn decimal(text: &[u8]) -> Option<(u64, usize)> {
    let mut value: u64 = 0;
    let mut length = 0;
    while let Some(digit) = text.get(length).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        length += 1;
    }
    (length > 0).then_some((value, length))
}

/// A text that is a single number, like most attributes of `/sys`.
pub fn number(text: &[u8]) -> Option<u64> {
    Fields::new(text.trim_ascii()).number()
}

/// A text that is a single number with an optional sign, such as a temperature.
pub fn signed(text: &[u8]) -> Option<i64> {
    match text.trim_ascii() {
        [b'-', digits @ ..] => number(digits).and_then(|n| 0i64.checked_sub_unsigned(n)),
        digits => number(digits).and_then(|n| i64::try_from(n).ok()),
    }
}

/// A word such as `0.07` or `2.35`.
pub fn float(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Text from the machine as a string; invalid UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_words_and_numbers() {
        let mut fields = Fields::new(b"  254\t 0 vda 12 -5");
        assert_eq!((fields.number(), fields.number()), (Some(254), Some(0)));
        assert_eq!(fields.number(), None);
        assert_eq!(fields.word(), Some(&b"vda"[..]));
        assert_eq!(fields.skip(2), Some(()));
        assert_eq!((fields.word(), fields.number(), fields.skip(1)), (None, None, None));
    }

    #[test]
    fn numbers_are_whole_words_that_fit() {
        assert_eq!(number(b"18446744073709551615\n"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!((number(b"12kB"), Fields::new(b"12\r").number()), (None, Some(12)));
        assert_eq!((signed(b"-1\n"), signed(b"45000\n"), signed(b"-")), (Some(-1), Some(45000), None));
        assert_eq!((float(b"0.07"), float(b"inf"), float(b"x")), (Some(0.07), None, None));
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_standard_library(text in "[a-c\\n]{0,40}") {
            let ours: Vec<&[u8]> = lines(text.as_bytes()).collect();
            let theirs: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for line in lines(&bytes) {
                let mut fields = Fields::new(line);
                while fields.number().is_some() || fields.word().is_some() {}
            }
            let _ = (number(&bytes), signed(&bytes), float(&bytes));
        }

        #[test]
        fn every_number_is_read_back(value: u64) {
            prop_assert_eq!(number(value.to_string().as_bytes()), Some(value));
        }
    }
}
