//! Lists of what happened (`events` of a document). A bucket holds what happened in all of it: keeping the first
//! document's list, as for other values, would lose nearly every event.

use serde_json::Value;

/// The member of a document that is such a list.
pub const NAME: &str = "events";
/// A bucket keeps no more; where one kind crowds the list, the latest of that kind go.
const MOST: usize = 64;

/// JSON text of a list of events, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events(Box<[u8]>);

impl Events {
    pub fn of(list: &[Value]) -> Self {
        let mut list = list.to_vec();
        thin(&mut list);
        Self(Value::Array(list).to_string().into_bytes().into())
    }

    /// A list as a document has it; what is none is nothing.
    pub fn of_json(text: &[u8]) -> Self {
        match text {
            b"[]" => Self(Box::from(text)),
            _ => Self::of(&serde_json::from_slice::<Vec<Value>>(text).unwrap_or_default()),
        }
    }

    /// What a rollup stored.
    pub fn from_text(text: Box<[u8]>) -> Self {
        Self(text)
    }

    pub fn text(&self) -> &[u8] {
        &self.0
    }

    fn is_empty(&self) -> bool {
        &*self.0 == b"[]"
    }

    /// Adds those of a later part of the bucket.
    pub fn merge(&mut self, later: Self) {
        if later.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = later;
            return;
        }
        let mut list: Vec<Value> = serde_json::from_slice(&self.0).unwrap_or_default();
        list.extend(serde_json::from_slice::<Vec<Value>>(&later.0).unwrap_or_default());
        *self = Self::of(&list);
    }
}

/// A cgroup at its limit tells of it with every tick; the one process that was killed must not be lost among those.
fn thin(list: &mut Vec<Value>) {
    while list.len() > MOST {
        let alike = |event: &Value| list.iter().filter(|other| other["kind"] == event["kind"]).count();
        let crowding = list.iter().max_by_key(|event| alike(event)).map(|event| event["kind"].clone());
        let last = list.iter().rposition(|event| Some(&event["kind"]) == crowding.as_ref());
        list.remove(last.unwrap_or(MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn throttled(second: usize) -> Value {
        json!({"kind": "cgroup_throttled", "second": second})
    }

    #[test]
    fn a_crowd_of_one_kind_leaves_room_for_the_other() {
        let mut events = Events::of(&[]);
        for second in 0..100 {
            events.merge(Events::of(&[throttled(second)]));
        }
        events.merge(Events::of(&[json!({"kind": "oom_kill"})]));
        events.merge(Events::of(&[]));
        let list: Vec<Value> = serde_json::from_slice(events.text()).unwrap();
        assert_eq!(list.len(), MOST);
        assert_eq!(list[..2], [throttled(0), throttled(1)]);
        assert_eq!(list[MOST - 1], json!({"kind": "oom_kill"}));
    }
}
