//! Processes that become others, and that are gone before they are named.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use crate::{Running, compile, compile_as, profile_with};

/// How many samples have both.
fn with(stacks: &HashMap<String, u64>, process: &str, function: &str) -> u64 {
    let has = |stack: &str| {
        stack.split(';').next() == Some(process) && stack.split(';').any(|frame| frame == function)
    };
    stacks.iter().filter(|(stack, _)| has(stack)).map(|(_, count)| count).sum()
}

#[test]
fn a_process_that_runs_another_program_has_its_names() {
    let dir = tempfile::tempdir().unwrap();
    // The same code at the same addresses.
    let [first, second] = ["before", "after"]
        .map(|name| compile_as(dir.path(), "exec", name, &["-static", "-no-pie", &format!("-DNAME={name}")]));
    let mut command = Command::new(&first);
    let running = Running(command.arg(&second).stdin(Stdio::null()).spawn().unwrap());
    let Some((stacks, said)) = profile_with(&["--seconds", "6", "--hz", "499"], Some(running.0.id())) else {
        return;
    };
    let all: u64 = stacks.values().sum();
    for (name, other) in [("before", "after"), ("after", "before")] {
        let process = format!("pw-{name}");
        let (right, wrong) = (with(&stacks, &process, name), with(&stacks, &process, other));
        assert!(right * 10 > all, "{right} of {all} in {name}: {said}\n{stacks:#?}");
        assert!(wrong * 20 < right, "{wrong} beside {right} in {name}: {said}\n{stacks:#?}");
    }
}

#[test]
fn processes_that_have_exited_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "brief", &["-fomit-frame-pointer"]);
    let _running = Running(Command::new(program).stdin(Stdio::null()).spawn().unwrap());
    let Some((stacks, said)) = profile_with(&["--seconds", "4", "--hz", "499"], None) else { return };
    let own = stacks.iter().filter(|(stack, _)| stack.starts_with("pw-brief;"));
    let all: u64 = own.map(|(_, count)| count).sum();
    let named = with(&stacks, "pw-brief", "hurry");
    // One that exits before it is looked at for the first time has none.
    assert!(all > 50 && named * 2 > all, "{named} of {all}: {said}\n{stacks:#?}");
}
