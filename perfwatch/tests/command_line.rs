//! The command line as a user sees it: errors say what is wrong, where, and what to do.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::process::{Command, Output};

fn perfwatch(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn errors_in_the_configuration_name_file_line_and_setting() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("perfwatch.toml");
    std::fs::write(&file, "log = \"info\"\njwt_expire_hours = 0\nlistn = \"x\"\n").unwrap();
    let error = refused(&perfwatch(
        &["serve", "--config", text(&file), "--tls-cert", "c.pem"],
        &[("SAMPLING_INTERVAL_SECONDS", "x")],
    ));
    let file = text(&file);
    for expected in [
        &*format!("{file}, line 2: jwt_expire_hours: 0 is out of range; use 1 to 8760"),
        &format!("{file}, line 3: there is no setting listn; did you mean listen?"),
        "PERFWATCH_TLS_KEY: must be set together with PERFWATCH_TLS_CERT",
        "SAMPLING_INTERVAL_SECONDS: \"x\" is not a number from 1 to 3600",
    ] {
        assert!(error.contains(expected), "no {expected:?} in {error}");
    }
    let error = refused(&perfwatch(&["serve", "--listen", "x"], &[]));
    assert!(error.contains("--listen: \"x\" is not an address such as 127.0.0.1:8000"), "{error}");
}

#[test]
fn no_error_repeats_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = text(dir.path());
    let serve = |environment: &[(&str, &str)]| {
        let ours = [("PERFWATCH_LISTEN", "127.0.0.1:0"), ("PERFWATCH_DATA_DIR", data)];
        refused(&perfwatch(&["serve"], &[&ours, environment].concat()))
    };
    let short = serve(&[("ADMIN_PASSWORD", "short")]);
    assert_eq!(short.matches("at least 8 characters").count(), 1, "{short}");
    let tls = serve(&[("PERFWATCH_TLS_CERT", "/nonexistent"), ("PERFWATCH_TLS_KEY", "/nonexistent")]);
    assert_eq!(tls.matches("No such file").count(), 1, "{tls}");
    assert!(tls.contains("PERFWATCH_TLS_CERT"), "{tls}");
    let log = serve(&[("PERFWATCH_LOG", "a=b=c")]);
    assert_eq!(log.matches("a=b=c").count(), 1, "{log}");
}

#[test]
fn a_snapshot_of_almost_nothing_fails() {
    let empty = tempfile::tempdir().unwrap();
    let environment = [("PERFWATCH_PROCFS", text(empty.path())), ("SAMPLING_INTERVAL_SECONDS", "1")];
    let output = perfwatch(&["snapshot"], &environment);
    let error = refused(&output);
    assert!(error.contains("nearly all sources failed") && error.contains("PERFWATCH_PROCFS"), "{error}");
    let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(snapshot["data"]["cpu"]["_error"].is_string(), "what there is, is printed all the same");
    let output = perfwatch(&["snapshot"], &[("SAMPLING_INTERVAL_SECONDS", "1")]);
    assert!(output.status.success() && output.stdout.starts_with(b"{"), "{output:?}");
}

#[test]
fn an_import_from_nowhere_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let import = |from: &str| {
        refused(&perfwatch(&["db", "import", "--from", from], &[("PERFWATCH_DATA_DIR", text(dir.path()))]))
    };
    assert!(import("foo").contains("--from must begin with postgres:// or sqlite:"));
    assert!(import("sqlite:/nonexistent/x.db").contains("there is no database at /nonexistent/x.db"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it created a database");
}

/// Runs `perfwatch alerts` in a directory of rules: whether all is well, and what it prints.
fn alerts(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = perfwatch(&[&["alerts"], arguments].concat(), &[("PERFWATCH_ALERTS_DIR", text(dir))]);
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn alert_rules_are_checked_tested_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let alerts = |arguments: &[&str]| alerts(dir.path(), arguments);
    assert_eq!(
        alerts(&["check"]),
        (true, format!("There are no files with rules in {}\n", text(dir.path())))
    );
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let example = docs.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = dir.path().join("api.toml");
    std::fs::write(&file, example).unwrap();
    assert_eq!(alerts(&["check"]), (true, "1 rule can be used\n".to_owned()));
    assert_eq!(alerts(&["test"]), (true, "1 test passed, 0 failed\n".to_owned()));
    let (is_good, listed) = alerts(&["list"]);
    assert!(is_good && listed.contains("oom-kill") && listed.contains("stock"), "{listed}");
    assert!(listed.contains(&format!("{}:1", text(&file))), "{listed}");

    std::fs::write(&file, example.replace("memory_limit_bytes", "memory_limit").replace("900x15", "500x15"))
        .unwrap();
    let (is_good, problems) = alerts(&["check"]);
    assert!(!is_good, "{problems}");
    let expected = "api.toml:6: api-memory: of: there is no field cgroups.groups.memory_limit; did you mean";
    assert!(problems.contains(expected), "{problems}");
    std::fs::write(&file, example.replace("900x15", "500x15")).unwrap();
    let (is_good, problems) = alerts(&["test", text(&file)]);
    assert!(!is_good, "{problems}");
    assert!(problems.contains("at 25m: expected firing (warning), got ok with value 50"), "{problems}");
    let (is_good, problems) = alerts(&["check", "/nonexistent.toml"]);
    assert!(!is_good && problems.contains("/nonexistent.toml: cannot be read"), "{problems}");
}
