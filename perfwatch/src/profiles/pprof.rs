//! Profiles in the format of pprof (`profile.proto`), uncompressed, which `go tool pprof` and speedscope read.

use std::collections::HashMap;

use super::flame::{Flame, Side};
use super::function::Function;
use crate::store::chunks::ProfileKind;

/// A message of Protocol Buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn numbers(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut packed = Self::default();
        values.into_iter().for_each(|value| packed.varint(value));
        self.bytes(field, &packed.0);
    }
}

#[derive(Default)]
struct Strings {
    all: Vec<String>,
    numbers: HashMap<String, u64>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.all.len() as u64;
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// `from` and `to` in µs since 1970.
pub fn pprof(flame: &Flame, kind: ProfileKind, (from, to): (i64, i64)) -> Vec<u8> {
    let mut profile = Message::default();
    let mut strings = Strings::default();
    strings.number("");
    let (counted, measured) = match kind {
        ProfileKind::Cpu => ("samples", "cpu"),
        ProfileKind::OffCpu => ("waits", "off_cpu"),
    };
    let mut value_type = |name: &str, unit: &str| {
        let mut message = Message::default();
        message.number(1, strings.number(name));
        message.number(2, strings.number(unit));
        message.0
    };
    let (counted, measured) = (value_type(counted, "count"), value_type(measured, "nanoseconds"));
    profile.bytes(1, &counted);
    profile.bytes(1, &measured);
    for (n, own) in flame.own.iter().enumerate() {
        let own = own[Side::Current as usize];
        if own.samples == 0 && own.value == 0 {
            continue;
        }
        // The innermost first.
        let mut locations = Vec::new();
        let mut at = n;
        while let Some(function) = flame.nodes[at].frame {
            locations.push(u64::from(function) + 1);
            at = flame.nodes[at].parent as usize;
        }
        let mut sample = Message::default();
        sample.numbers(1, locations);
        sample.numbers(2, [own.samples, own.value]);
        profile.bytes(2, &sample.0);
    }
    let mut modules: Vec<&str> = flame.functions.iter().map(|function| &*function.module).collect();
    modules.sort_unstable();
    modules.dedup();
    for (module, id) in modules.iter().zip(1u64..) {
        let mut mapping = Message::default();
        mapping.number(1, id);
        mapping.number(5, strings.number(module));
        // Functions are named already.
        mapping.number(7, 1);
        profile.bytes(3, &mapping.0);
    }
    for (Function { name, module }, id) in flame.functions.iter().zip(1u64..) {
        let mapping = modules.binary_search(&&**module).map_or(0, |at| at as u64 + 1);
        let mut line = Message::default();
        line.number(1, id);
        let mut location = Message::default();
        location.number(1, id);
        location.number(2, mapping);
        location.bytes(4, &line.0);
        profile.bytes(4, &location.0);
        let mut function = Message::default();
        function.number(1, id);
        function.number(2, strings.number(name));
        function.number(3, strings.number(name));
        function.number(4, strings.number(module));
        profile.bytes(5, &function.0);
    }
    strings.all.iter().for_each(|text| profile.bytes(6, text.as_bytes()));
    let micros = |at: i64| at.unsigned_abs();
    profile.number(9, micros(from) * 1000);
    profile.number(10, micros(to.saturating_sub(from)) * 1000);
    profile.bytes(11, &measured);
    profile.0
}
