//! All rules and where each comes from: stock, a file, or the API.

use std::path::PathBuf;
use std::sync::Arc;

use super::compile::{Compiled, Problem};
use super::file::{File, MAX_RULES};
use super::period::Period;
use super::rule::Rule;
use super::stock;
use crate::store::alerts::StoredRule;

/// Rules made over the API.
pub const MAX_STORED: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Stock,
    /// Locked: only the file changes it.
    File(PathBuf, usize),
    /// By whom, and when, µs.
    Stored(String, i64),
}

/// What rules are evaluated over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The machine that evaluates them.
    Machine,
    /// The hosts of a fleet.
    Fleet,
}

impl Over {
    /// Whether a stock rule means something there: only hubs hear hosts.
    fn is_for(self, rule: &Rule) -> bool {
        self == Self::Fleet || !rule.field.starts_with("presence.")
    }
}

/// A rule as listed.
#[derive(Debug, Clone)]
pub struct Listed {
    pub rule: Arc<Rule>,
    pub origin: Origin,
    pub compiled: Result<Arc<Compiled>, Vec<Problem>>,
    pub off: bool,
    /// There is a stock rule of this name, which would return if this one went.
    pub is_of_stock: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// By name.
    pub rules: Vec<Listed>,
    /// What is wrong with files, one line each.
    pub problems: Vec<String>,
}

impl Catalogue {
    /// Files take the place of what is stored, and that of stock rules.
    pub fn new(files: Vec<File>, stored: &[StoredRule], retention: Period, over: Over) -> Self {
        let mut catalogue = Self::default();
        let stock = stock::file(retention);
        let known: Vec<String> = stock.rules.iter().map(|rule| rule.what.name.clone()).collect();
        for rule in stock.rules.into_iter().filter(|rule| over.is_for(&rule.what)) {
            catalogue.put(rule.what, Origin::Stock, retention);
        }
        let names: Vec<String> = catalogue.rules.iter().map(|listed| listed.rule.name.clone()).collect();
        for stored in stored {
            match serde_json::from_str::<Rule>(&stored.definition) {
                Ok(rule) => {
                    let origin = Origin::Stored(stored.updated_by.clone(), stored.updated_at);
                    catalogue.put(rule, origin, retention);
                }
                Err(error) => {
                    let name = &stored.name;
                    catalogue.problems.push(format!("the stored rule {name} cannot be read: {error}"));
                }
            }
        }
        let mut off = Vec::new();
        for file in files {
            catalogue.problems.extend(file.problems);
            for at in file.rules {
                catalogue.put_file(at.what, file.path.clone(), at.line, retention);
            }
            off.extend(file.off.into_iter().map(|at| (at, file.path.clone())));
        }
        for (at, path) in off {
            match catalogue.rules.iter_mut().find(|listed| listed.rule.name == at.what) {
                Some(listed) => {
                    listed.off = true;
                    // The API must not undo what a file says.
                    listed.origin = Origin::File(path, at.line);
                }
                // Files may be the same on machines and hubs.
                None if known.contains(&at.what) => {}
                None => catalogue.problems.push(format!(
                    "{}:{}: off: there is no rule {}; perfwatch alerts list shows their names",
                    path.display(),
                    at.line,
                    at.what
                )),
            }
        }
        for listed in &mut catalogue.rules {
            listed.is_of_stock = names.contains(&listed.rule.name);
        }
        catalogue.rules.sort_by(|a, b| a.rule.name.cmp(&b.rule.name));
        if catalogue.rules.len() > MAX_RULES {
            let surplus = catalogue.rules.len() - MAX_RULES;
            catalogue.problems.push(format!("there are {surplus} rules more than {MAX_RULES}; remove some"));
            catalogue.rules.truncate(MAX_RULES);
        }
        catalogue
    }

    fn put_file(&mut self, rule: Rule, path: PathBuf, line: usize, retention: Period) {
        let known = self.rules.iter().find(|listed| listed.rule.name == rule.name);
        if let Some(Origin::File(other, _)) = known.map(|listed| &listed.origin)
            && *other != path
        {
            self.problems.push(format!(
                "{}:{line}: {} is also defined in {}; give one of them another name",
                path.display(),
                rule.name,
                other.display()
            ));
            return;
        }
        self.put(rule, Origin::File(path, line), retention);
    }

    fn put(&mut self, rule: Rule, origin: Origin, retention: Period) {
        self.rules.retain(|listed| listed.rule.name != rule.name);
        let compiled = Compiled::new(&rule, retention).map(Arc::new);
        self.rules.push(Listed { off: rule.off, rule: Arc::new(rule), origin, compiled, is_of_stock: false });
    }

    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.rules.iter().find(|listed| listed.rule.name == name)
    }

    /// Those to evaluate.
    pub fn running(&self) -> Vec<(Arc<Rule>, Arc<Compiled>)> {
        let on = self.rules.iter().filter(|listed| !listed.off);
        on.filter_map(|listed| Some((Arc::clone(&listed.rule), Arc::clone(listed.compiled.as_ref().ok()?))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Period = Period::seconds(30 * 86_400);

    fn stored(name: &str, definition: &str) -> StoredRule {
        StoredRule {
            name: name.into(),
            definition: definition.into(),
            updated_by: "ann".into(),
            updated_at: 5,
        }
    }

    #[test]
    fn files_come_before_the_api_and_that_before_stock() {
        let dir = tempfile::tempdir().unwrap();
        let rule = |above: f64| {
            format!(
                r#"{{"name": "oom-kill", "field": "cpu.usage_percent", "warning": {{"above": {above}}}}}"#
            )
        };
        let catalogue = |stored: &[StoredRule]| {
            Catalogue::new(File::read_all(dir.path(), MONTH), stored, MONTH, Over::Machine)
        };
        let origin = |catalogue: &Catalogue| catalogue.find("oom-kill").unwrap().origin.clone();
        assert_eq!(origin(&catalogue(&[])), Origin::Stock);
        let mine = [stored("oom-kill", &rule(5.0)), stored("bad", "?")];
        let found = catalogue(&mine);
        assert_eq!((origin(&found), found.problems.len()), (Origin::Stored("ann".into(), 5), 1));
        assert!(found.find("oom-kill").unwrap().is_of_stock);
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "off = [\"swap-storm\", \"nothing\"]\n[[rule]]\nname = \"oom-kill\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 1 }\n").unwrap();
        std::fs::write(
            dir.path().join("b.toml"),
            "[[rule]]\nname = \"oom-kill\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 1 }\n",
        )
        .unwrap();
        let found = catalogue(&mine[..1]);
        assert_eq!(origin(&found), Origin::File(path, 2));
        assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
        assert!(found.problems[0].contains("b.toml:1: oom-kill is also defined in"));
        assert!(found.problems[1].contains("a.toml:1: off: there is no rule nothing"));
        assert!(found.running().iter().all(|(rule, _)| rule.name != "swap-storm"));
        assert_eq!(found.running().len() + 1, found.rules.len());
    }

    #[test]
    fn a_rule_that_cannot_run_is_listed_and_not_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("a.toml"),
            "[[rule]]\nname = \"x\"\nfield = \"nothing\"\nwarning = { above = 1 }\n",
        )
        .unwrap();
        let found = Catalogue::new(File::read_all(dir.path(), MONTH), &[], MONTH, Over::Machine);
        assert_eq!(found.problems.len(), 1);
        assert!(found.find("x").unwrap().compiled.is_err());
        assert!(found.running().iter().all(|(rule, _)| rule.name != "x"));
    }
}
