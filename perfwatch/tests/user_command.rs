//! `perfwatch user`, as an administrator types it.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn user(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.arg("user").args(arguments).env_clear().env("PERFWATCH_DATA_DIR", data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that needs no password may have exited before reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn accounts_are_managed_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let added = said(&user(data, &["add", "ann", "--role", "admin"], "correct horse\n"));
    assert_eq!(added, "Added ann as admin\n");
    assert_eq!(said(&user(data, &["add", "bob"], "battery staple\n")), "Added bob as viewer\n");
    let list = said(&user(data, &["list"], ""));
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1..], [["ann", "admin", "never", "all"], ["bob", "viewer", "never", "all"]]);
    let limited = said(&user(data, &["hosts", "bob", "site=fra,role=web"], ""));
    assert_eq!(limited, "bob sees hosts with role=web,site=fra, and is signed out everywhere\n");
    assert!(said(&user(data, &["list"], "")).contains("never                         role=web,site=fra"));
    assert!(
        refused(&user(data, &["hosts", "ann", "role=web"], "")).contains("an administrator sees all hosts")
    );
    assert!(refused(&user(data, &["hosts", "bob", "web"], "")).contains("expected labels such as"));
    assert_eq!(
        said(&user(data, &["hosts", "bob"], "")),
        "bob sees all hosts, and is signed out everywhere\n"
    );
    assert!(
        said(&user(data, &["passwd", "bob"], "another password\n"))
            .starts_with("Changed the password of bob")
    );
    assert_eq!(said(&user(data, &["delete", "bob"], "")), "Deleted bob\n");

    assert!(refused(&user(data, &["add", "ann"], "correct horse\n")).contains("already exists"));
    assert!(refused(&user(data, &["add", "eve"], "short\n")).contains("at least 8 characters"));
    assert!(refused(&user(data, &["delete", "ann"], "")).contains("cannot remove the last administrator"));
    assert!(refused(&user(data, &["passwd", "nobody"], "correct horse\n")).contains("there is no user"));
}

#[test]
fn only_add_creates_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (arguments, input) in
        [(["list"].as_slice(), ""), (&["delete", "ann"], ""), (&["passwd", "ann"], "correct horse\n")]
    {
        let error = refused(&user(&data, arguments, input));
        assert!(error.contains("there is no database at") && error.contains("PERFWATCH_DATA_DIR"), "{error}");
        assert!(!data.exists(), "{arguments:?} created it");
    }
    said(&user(&data, &["add", "ann"], "correct horse\n"));
    assert!(said(&user(&data, &["list"], "")).contains("ann"));
}
