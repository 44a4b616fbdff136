//! Where the values of settings come from: a flag, the environment, or `perfwatch.toml`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::settings::SETTINGS;

/// Where a value comes from, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Flag,
    Environment,
    /// The line in the configuration file.
    Line(usize),
}

#[derive(Debug)]
struct Value {
    text: String,
    origin: Origin,
}

/// The value given for each setting, by name; not validated yet.
#[derive(Debug, Default)]
pub struct Given {
    values: BTreeMap<&'static str, Value>,
    /// The configuration file that was read, if any.
    file: PathBuf,
    /// Files with secrets that other users can read.
    pub exposed: Vec<PathBuf>,
}

/// Refuses a secret that anyone can write; one that anyone can read may be meant so, as in a container of its own.
fn check_private(name: &str, path: &Path, exposed: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o002;
    let Ok(file) = std::fs::metadata(path) else { return };
    if file.mode() & OTHERS_WRITE != 0 {
        problems.push(format!("{name}: every user can write {0}; chmod o= {0}", path.display()));
    } else if file.mode() & OTHERS_READ != 0 {
        exposed.push(path.to_owned());
    }
}

/// A configuration file: its settings as texts, each with its line.
#[derive(Debug, Default)]
pub struct ConfigFile {
    path: PathBuf,
    settings: BTreeMap<String, (String, usize)>,
}

impl ConfigFile {
    /// Parses a file's text. Syntax errors become problems with file and line.
    pub fn parse(path: &Path, text: &str, problems: &mut Vec<String>) -> Self {
        let mut file = Self { path: path.to_owned(), settings: BTreeMap::new() };
        let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let place = |at: usize| format!("{}, line {}", path.display(), line(at));
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                problems.push(format!("{}: {}", place(at), error.message()));
                return file;
            }
        };
        for (key, value) in table {
            let at = key.span().start;
            let text = match value.into_inner() {
                DeValue::String(text) => text.into_owned(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(yes) => yes.to_string(),
                DeValue::Array(_) => {
                    let problem = "is a list; write one string with commas, such as \"a, b\"";
                    problems.push(format!("{}: {} {problem}", place(at), key.get_ref()));
                    continue;
                }
                DeValue::Table(_) => {
                    let problem = "is a section; settings have none, so write them at the top level";
                    problems.push(format!("{}: {} {problem}", place(at), key.get_ref()));
                    continue;
                }
                DeValue::Datetime(_) => {
                    let problem = "must be a string, a number, true or false";
                    problems.push(format!("{}: {} {problem}", place(at), key.get_ref()));
                    continue;
                }
            };
            file.settings.insert(key.into_inner().into_owned(), (text, line(at)));
        }
        file
    }

    fn place(&self, line: usize) -> String {
        format!("{}, line {line}", self.path.display())
    }
}

impl Given {
    /// Merges the three sources. Problems (an unknown key, an unreadable file) are appended to `problems`.
    pub fn gather(
        flag: impl Fn(&str) -> Option<String>,
        env: impl Fn(&str) -> Option<String>,
        mut file: ConfigFile,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut values = BTreeMap::new();
        let mut exposed = Vec::new();
        for setting in SETTINGS {
            // An empty variable means "not set" in compose files.
            let env = |name: &str| env(name).filter(|text| !text.is_empty());
            let direct = file.settings.remove(setting.name);
            let named_file = file.settings.remove(&format!("{}_file", setting.name));
            if let Some((_, line)) = named_file.as_ref().filter(|_| !setting.secret) {
                let place = file.place(*line);
                problems
                    .push(format!("{place}: {0}_file: {0} is not a secret; set {0} itself", setting.name));
            }
            let given = |text, origin| Some(Value { text, origin });
            let value = if let Some(text) = flag(setting.name) {
                given(text, Origin::Flag)
            } else if let Some(text) = env(setting.env) {
                given(text, Origin::Environment)
            } else if let Some(path) = env(&format!("{}_FILE", setting.env)).filter(|_| setting.secret) {
                read_secret(&format!("{}_FILE", setting.env), Path::new(&path), &mut exposed, problems)
                    .and_then(|text| given(text, Origin::Environment))
            } else if let Some((path, line)) = named_file.filter(|_| setting.secret) {
                let name = format!("{}: {}_file", file.place(line), setting.name);
                read_secret(&name, Path::new(&path), &mut exposed, problems)
                    .and_then(|text| given(text, Origin::Line(line)))
            } else {
                if setting.secret
                    && let Some((_, line)) = &direct
                {
                    check_private(&file.place(*line), &file.path, &mut exposed, problems);
                }
                direct.and_then(|(text, line)| given(text, Origin::Line(line)))
            };
            if let Some(value) = value {
                values.insert(setting.name, value);
            }
        }
        for (unknown, (_, line)) in &file.settings {
            let place = file.place(*line);
            problems.push(match nearest(unknown) {
                Some(known) => format!("{place}: there is no setting {unknown}; did you mean {known}?"),
                None => {
                    format!("{place}: there is no setting {unknown}; `perfwatch serve --help` lists them")
                }
            });
        }
        exposed.dedup();
        Self { values, file: file.path, exposed }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is not in SETTINGS");
        self.values.get(name).map(|value| value.text.as_str())
    }

    /// The setting's name for an error, as it was given, so that the user can find it.
    pub fn named(&self, name: &str) -> String {
        let env = || SETTINGS.iter().find(|setting| setting.name == name).map_or(name, |s| s.env).to_owned();
        match self.values.get(name).map(|value| value.origin) {
            Some(Origin::Flag) => format!("--{}", name.replace('_', "-")),
            Some(Origin::Line(line)) => format!("{}, line {line}: {name}", self.file.display()),
            Some(Origin::Environment) | None => env(),
        }
    }
}

fn read_secret(
    name: &str,
    path: &Path,
    exposed: &mut Vec<PathBuf>,
    problems: &mut Vec<String>,
) -> Option<String> {
    check_private(name, path, exposed, problems);
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => {
            problems.push(format!("{name}: cannot read {}: {error}", path.display()));
            None
        }
    }
}

/// The known name closest to a misspelt one.
fn nearest(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.env.to_lowercase() == unknown) {
        return Some(setting.name);
    }
    SETTINGS
        .iter()
        .map(|setting| (strsim::levenshtein(&unknown, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn gather(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> (Given, Vec<String>) {
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let mut problems = Vec::new();
        let file = ConfigFile::parse(Path::new("/etc/p.toml"), file, &mut problems);
        let given = Given::gather(|name| find(flags, name), |name| find(env, name), file, &mut problems);
        (given, problems)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file() {
        let file = "listen = \"file\"\njwt_expire_hours = 3\nmetrics_public = true";
        let (given, problems) =
            gather(&[("listen", "flag")], &[("PERFWATCH_LISTEN", "env"), ("JWT_EXPIRE_HOURS", "5")], file);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(given.get("listen"), Some("flag"));
        assert_eq!(given.get("jwt_expire_hours"), Some("5"));
        assert_eq!(given.get("metrics_public"), Some("true"));
        assert_eq!(given.get("tls_cert"), None);
    }

    #[test]
    fn secrets_may_be_in_files_and_other_settings_may_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        let path = path.to_str().unwrap();
        let (given, problems) = gather(&[], &[("JWT_SECRET_FILE", path)], "");
        assert_eq!((given.get("jwt_secret"), problems.len()), (Some("hush"), 0));
        let (_, problems) = gather(&[], &[("JWT_SECRET_FILE", "/nonexistent")], "listen_file = \"x\"");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn secrets_that_others_can_read_are_told_and_those_that_they_can_write_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        for (mode, exposed, refused) in [
            (0o600, 0, 0),
            (0o640, 0, 0),
            (0o660, 0, 0),
            (0o644, 1, 0),
            (0o444, 1, 0),
            (0o646, 0, 1),
            (0o602, 0, 1),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (given, problems) = gather(&[], &[("JWT_SECRET_FILE", path.to_str().unwrap())], "");
            assert_eq!((given.exposed.len(), problems.len()), (exposed, refused), "{mode:o}: {problems:?}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_file_line_and_a_suggestion() {
        let (_, problems) = gather(&[], &[], "listn = \"x\"\nJWT_SECRET = \"y\"\n\nzzzzzzzz = 1\nlog = []");
        let all = problems.join("\n");
        assert!(
            all.contains("/etc/p.toml, line 1: there is no setting listn; did you mean listen?"),
            "{all}"
        );
        assert!(all.contains("did you mean jwt_secret?"), "{all}");
        assert!(all.contains("line 4: there is no setting zzzzzzzz; `perfwatch serve --help`"), "{all}");
        assert!(all.contains("line 5: log is a list"), "{all}");
    }

    #[test]
    fn mistakes_in_the_file_are_told_with_their_line() {
        for (text, expected) in [
            ("listen = \"a\"\n\nlog = \n", "/etc/p.toml, line 3: "),
            ("log = \"a\"\nlisten = \"b\"\nlog = \"c\"\n", "/etc/p.toml, line 3: duplicate key"),
            ("log = \"a\"\n[server]\nport = 1\n", "/etc/p.toml, line 2: server is a section"),
        ] {
            let (_, problems) = gather(&[], &[], text);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(expected), "{problems:?}");
        }
    }

    #[test]
    fn a_setting_is_named_as_it_was_given() {
        let (given, _) =
            gather(&[("tls_cert", "x")], &[("PERFWATCH_LISTEN", "x")], "log = \"x\"\njwt_expire_hours = 1\n");
        assert_eq!(given.named("tls_cert"), "--tls-cert");
        assert_eq!(given.named("listen"), "PERFWATCH_LISTEN");
        assert_eq!(given.named("jwt_expire_hours"), "/etc/p.toml, line 2: jwt_expire_hours");
        assert_eq!(given.named("tls_key"), "PERFWATCH_TLS_KEY");
    }
}
