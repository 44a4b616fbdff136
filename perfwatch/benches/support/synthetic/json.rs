//! Builds documents as sources do: rates with two decimals, counts as integers.

use serde_json::{Map, Number, Value};

/// An object whose members are added one by one.
#[derive(Default)]
pub struct Json(Map<String, Value>);

impl Json {
    pub fn finish(self) -> Value {
        Value::Object(self.0)
    }

    pub fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub fn rate(&mut self, name: &str, value: f64) {
        self.put(name, hundredths(value));
    }

    pub fn rates(&mut self, name: &str, values: &[f64]) {
        self.put(name, values.iter().copied().map(hundredths).collect());
    }

    pub fn whole(&mut self, name: &str, value: f64) {
        self.put(name, (value as u64).into());
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.put(name, value.into());
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.put(name, value.into());
    }

    pub fn null(&mut self, name: &str) {
        self.put(name, Value::Null);
    }

    /// Adds all members of another object.
    pub fn all_of(&mut self, value: Value) {
        if let Value::Object(members) = value {
            self.0.extend(members);
        }
    }

    pub fn remove(&mut self, names: &[&str]) {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        let mut inside = Self::default();
        fill(&mut inside);
        self.put(name, inside.finish());
    }

    pub fn list(&mut self, name: &str, length: usize, mut fill: impl FnMut(&mut Self, usize)) {
        let item = |i| {
            let mut inside = Self::default();
            fill(&mut inside, i);
            inside.finish()
        };
        let items: Vec<Value> = (0..length).map(item).collect();
        self.put(name, items.into());
    }
}

fn hundredths(value: f64) -> Value {
    Number::from_f64((value * 100.0).round() / 100.0).map_or(Value::Null, Value::Number)
}
