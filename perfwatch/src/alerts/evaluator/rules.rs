//! Which rules are evaluated: set, replaced, and shown as another run left them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Evaluator, Running};
use crate::alerts::changes::About;
use crate::alerts::compile::Compiled;
use crate::alerts::labels::Labels;
use crate::alerts::machine::Status;
use crate::alerts::rule::Rule;
use crate::alerts::thing::Thing;
use crate::store::alerts::AlertBatch;

impl Evaluator {
    /// Shows what an earlier run left of these rules, before anything is measured and without a change of anything.
    pub fn show_rules(&mut self, rules: &[(Arc<Rule>, Arc<Compiled>)]) {
        self.rules.clear();
        for (rule, compiled) in rules {
            let mut running = Running::new(Arc::clone(rule), Arc::clone(compiled));
            running.adopt(&mut self.restored);
            self.rules.push(running);
        }
    }

    /// What is fine is not stored: rules of which nothing is known are so.
    pub fn note_evaluated_elsewhere(&mut self) {
        for running in self.rules.iter_mut().filter(|running| running.things.is_empty()) {
            running.note = Some((Status::Ok, "Another hub evaluates it".into()));
        }
    }

    /// Replaces the rules. Things keep their state; what is raised by a rule that is gone is cleared.
    pub fn set_rules(&mut self, rules: Vec<(Arc<Rule>, Arc<Compiled>)>, at: i64, out: &mut AlertBatch) {
        let mut old: HashMap<String, Running> = std::mem::take(&mut self.rules)
            .into_iter()
            .map(|running| (running.rule.name.clone(), running))
            .collect();
        for (rule, compiled) in rules {
            match old.remove(&rule.name) {
                Some(running) if running.rule == rule => self.rules.push(running),
                Some(running) => {
                    for thing in running.things {
                        self.restored.insert((rule.name.clone(), thing.name.to_string()), thing.memory);
                    }
                    self.rules.push(Running::new(rule, compiled));
                }
                None => self.rules.push(Running::new(rule, compiled)),
            }
        }
        let reason: Arc<str> = "The rule was removed or switched off".into();
        for (_, mut running) in old {
            for thing in &mut running.things {
                let happened = thing.memory.end(at, &reason);
                let about = About {
                    host: &self.host,
                    host_name: &self.host_name,
                    rule: &running.rule,
                    unit: running.compiled.unit,
                };
                about.note(thing, happened, at, out);
                out.forget.push((running.rule.name.clone(), thing.name.to_string()));
            }
        }
        let known: HashSet<&str> = self.rules.iter().map(|running| running.rule.name.as_str()).collect();
        let gone: Vec<(String, String)> =
            self.restored.keys().filter(|(rule, _)| !known.contains(rule.as_str())).cloned().collect();
        for key in gone {
            let memory = self.restored.remove(&key);
            let labels: Labels = serde_json::from_str(&key.1).unwrap_or_default();
            let mut thing = Thing::new(labels, memory);
            let happened = thing.memory.end(at, &reason);
            // Only the name of the rule is left.
            let rule = Rule { name: key.0.clone(), ..Rule::default() };
            About { host: &self.host, host_name: &self.host_name, rule: &rule, unit: "" }
                .note(&thing, happened, at, out);
            out.forget.push(key);
        }
    }
}
