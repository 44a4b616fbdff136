//! JSON as collectors write it: rates with two decimals, counts whole.

use std::io::Write as _;

use bytes::Bytes;

/// An object whose members are written one after the other.
pub struct Json(pub Vec<u8>);

impl Json {
    pub fn new(timestamp: &str) -> Self {
        let mut out = Vec::with_capacity(4096);
        let _ = write!(out, r#"{{"_timestamp":"{timestamp}","_error":null"#);
        Self(out)
    }

    /// An object without the members every document begins with.
    pub fn bare() -> Self {
        Self(vec![b'{'])
    }

    pub fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }

    pub fn key(&mut self, name: &str) {
        if !self.0.ends_with(b"{") {
            self.0.push(b',');
        }
        let _ = write!(self.0, r#""{name}":"#);
    }

    pub fn rate(&mut self, name: &str, value: f64) {
        self.key(name);
        self.hundredths(value);
    }

    /// Far faster than formatting a float.
    fn hundredths(&mut self, value: f64) {
        let n = (value * 100.0).round() as i64;
        let _ = match (n % 100).unsigned_abs() {
            0 => write!(self.0, "{}.0", n / 100),
            rest if n < 0 => write!(self.0, "-{}.{rest:02}", (n / 100).unsigned_abs()),
            rest => write!(self.0, "{}.{rest:02}", n / 100),
        };
    }

    pub fn rates(&mut self, name: &str, values: &[f64]) {
        self.key(name);
        self.0.push(b'[');
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.0.push(b',');
            }
            self.hundredths(*value);
        }
        self.0.push(b']');
    }

    pub fn whole(&mut self, name: &str, value: f64) {
        self.key(name);
        let _ = write!(self.0, "{}", value as i64);
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        let _ = write!(self.0, r#""{value}""#);
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.key(name);
        let _ = write!(self.0, "{value}");
    }

    pub fn null(&mut self, name: &str) {
        self.key(name);
        self.0.extend_from_slice(b"null");
    }

    pub fn raw(&mut self, name: &str, open_object: &[u8]) {
        self.key(name);
        self.0.extend_from_slice(open_object);
        self.0.push(b'}');
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.key(name);
        self.0.push(b'{');
        fill(self);
        self.0.push(b'}');
    }

    pub fn list(&mut self, name: &str, length: usize, mut fill: impl FnMut(&mut Self, usize)) {
        self.key(name);
        self.0.push(b'[');
        for i in 0..length {
            if i > 0 {
                self.0.push(b',');
            }
            self.0.push(b'{');
            fill(self, i);
            self.0.push(b'}');
        }
        self.0.push(b']');
    }
}
