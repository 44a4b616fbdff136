//! Steps over JSON text without making anything of it: where a value ends, and which number it is.
//!
//! Made for text that a serializer wrote. What it cannot step over for certain is `None`, and the caller parses it.

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

/// The powers of ten that are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The text since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    pub fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `text`, if it stands here.
    pub fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(text).then(|| self.at += text.len())
    }

    /// Steps over a punctuation mark and the space around it.
    pub fn mark(&mut self, mark: u8) -> Option<()> {
        self.space();
        (self.peek()? == mark).then(|| self.at += 1)?;
        self.space();
        Some(())
    }

    /// Steps over a string.
    pub fn string(&mut self) -> Option<()> {
        (self.peek()? == b'"').then(|| self.at += 1)?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Steps over an object or a list, with all that is in it.
    pub fn nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Steps over a number, which is the one that serde_json would make of it.
    pub fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let negative = self.literal(b"-").is_some();
        let mut digits = 0u64;
        let whole = self.digits(&mut digits);
        let fraction = if self.literal(b".").is_some() { self.digits(&mut digits) } else { 0 };
        // Below 2^53 and 10^22 this is exactly what the parser computes.
        if whole > 0 && whole + fraction <= 15 && !matches!(self.peek(), Some(b'e' | b'E')) {
            let value = digits as f64 / POWERS[fraction];
            return Some(if negative { -value } else { value });
        }
        while matches!(self.peek(), Some(b'0'..=b'9' | b'e' | b'E' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        serde_json::from_slice(self.since(start)).ok()
    }

    /// Appends the digits that stand here to `number`; returns how many there are.
    fn digits(&mut self, number: &mut u64) -> usize {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        self.at - start
    }

    /// Steps over a whole number that is not negative.
    pub fn whole(&mut self) -> Option<u64> {
        let start = self.at;
        let mut number = 0;
        let digits = self.digits(&mut number);
        match digits {
            1..=19 => Some(number),
            _ => serde_json::from_slice(self.since(start)).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn number(text: &str) -> Option<f64> {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.number().filter(|_| cursor.at == text.len())
    }

    /// What a document's number becomes when all of it is parsed.
    fn parsed(text: &str) -> Option<f64> {
        serde_json::from_str::<Value>(text).ok()?.as_f64()
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_parser(
            text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        ) {
            prop_assert_eq!(number(&text).map(f64::to_bits), parsed(&text).map(f64::to_bits), "{}", text);
        }

        #[test]
        fn what_was_written_is_read_again(value: f64, count: u64) {
            for text in [value, (value * 1000.0).round() / 1000.0].map(|n| serde_json::to_string(&n).unwrap()) {
                prop_assert_eq!(number(&text).map(f64::to_bits), parsed(&text).map(f64::to_bits), "{}", text);
            }
            prop_assert_eq!(Cursor::new(count.to_string().as_bytes()).whole(), Some(count));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let steps: [fn(&mut Cursor<'_>) -> bool; 4] = [
                |cursor| cursor.string().is_some(),
                |cursor| cursor.nested().is_some(),
                |cursor| cursor.number().is_some(),
                |cursor| cursor.whole().is_some(),
            ];
            for step in steps {
                step(&mut Cursor::new(&bytes));
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, end) in [(r#"{"a":"}\"]","b":[1,{}]},"c""#, 23), (r#"[[[]],"]"] x"#, 10), (r#"{} "#, 2)] {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.nested().unwrap();
            assert_eq!(cursor.at, end, "{text}");
        }
        assert!(Cursor::new(b"[1,{}").nested().is_none());
        assert!(Cursor::new(br#"{"a"#).nested().is_none());
        assert!(Cursor::new(br#""\"#).string().is_none());
    }
}
