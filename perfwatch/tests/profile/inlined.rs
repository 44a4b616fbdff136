//! A Rust program, of whose functions one is inlined.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Running, profile, share};

const SOURCE: &str = "
use std::hint::black_box;

#[inline(always)]
fn inner(n: u64) -> u64 {
    (0..n).fold(0, |sum, n| black_box(sum + n))
}

#[inline(never)]
fn outer(n: u64) -> u64 {
    black_box(inner(n)) + 1
}

fn main() {
    loop {
        black_box(outer(black_box(100_000)));
    }
}
";

#[test]
fn inlined_functions_of_rust_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("shape.rs"), dir.path().join("pw-rust"));
    std::fs::write(&source, SOURCE).unwrap();
    let cargo = std::env::var_os("CARGO").map(PathBuf::from);
    let rustc = cargo.map(|cargo| cargo.with_file_name("rustc")).filter(|rustc| rustc.exists());
    let mut command = Command::new(rustc.unwrap_or_else(|| "rustc".into()));
    let Ok(compiled) = command.args(["-O", "-g", "-o"]).arg(&program).arg(&source).status() else {
        println!("SKIPPED: inlined_functions_of_rust_are_named: there is no rustc");
        return;
    };
    assert!(compiled.success());
    let running = Running(Command::new(&program).stdin(Stdio::null()).spawn().unwrap());
    let Some((stacks, said)) = profile(running.0.id()) else { return };
    for function in ["shape::main", "shape::outer", "shape::inner"] {
        let share = share(&stacks, function);
        assert!(share >= 95.0, "{function}: {share}: {said}\n{stacks:#?}");
    }
    // Each in the one that calls it.
    assert!(
        stacks.keys().any(|stack| stack.contains(";shape::main;shape::outer;shape::inner")),
        "{said}\n{stacks:#?}"
    );
}
