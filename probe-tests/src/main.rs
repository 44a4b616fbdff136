//! Loads the probes into the running kernel, causes events and checks that they were counted.
//!
//! A separate program, not a `cargo test` suite: it needs rights that a test run may not have, and it also
//! runs alone inside virtual machines with other kernels. It prints one line per test (`PASS`, `FAIL` or
//! `SKIPPED`) and a last line that counts them.
#![allow(clippy::print_stdout)] // its output is its result
#![allow(unsafe_code)] // tests cause events with system calls

mod block_io;
mod bracket;
mod budget;
mod cgroups;
mod counters;
mod group;
mod group_times;
mod hogs;
mod lifetime;
mod load;
mod privileges;
mod probe;
mod processes;
mod profile;
mod scheduler;
mod tcp;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Result;

/// The outcome of a test that did not fail.
#[derive(Debug)]
pub enum Verdict {
    /// With what was measured.
    Passed(String),
    /// Why it cannot run on this machine.
    Skipped(String),
}

#[derive(Debug)]
pub struct Test {
    /// `<probe>::<what holds>`
    pub name: &'static str,
    pub run: fn() -> Result<Verdict>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [hogs::FLAG, kind, argument] => return hogs::run(kind, argument),
        [lifetime::FLAG] => return lifetime::hold(),
        ["--spin", cpu, millis] => return hogs::spin_for(cpu, millis),
        [hogs::EXEC_FROM_THREAD, cpu, millis] => return hogs::exec_from_thread(cpu, millis),
        _ => {}
    }
    let only = arguments.first().map_or("", String::as_str);
    let tests = [
        counters::TESTS,
        counters::hardware::TESTS,
        counters::live::TESTS,
        scheduler::TESTS,
        processes::TESTS,
        processes::table::TESTS,
        cgroups::TESTS,
        group_times::TESTS,
        block_io::TESTS,
        tcp::TESTS,
        profile::TESTS,
        budget::TESTS,
        privileges::TESTS,
        lifetime::TESTS,
    ];
    let tests = tests.into_iter().flatten();
    let tests = tests.filter(|test| test.name.contains(only));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for test in tests {
        let run = || {
            catch_unwind(AssertUnwindSafe(test.run))
                .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked (see above)")))
        };
        let mut result = run();
        // Others use the kernel meanwhile, too; a fault of ours fails again.
        if let Err(error) = &result {
            println!("FLAKY: {}: {error:#}", test.name);
            result = run();
        }
        match result {
            Ok(Verdict::Passed(measured)) => {
                passed += 1;
                println!("PASS {}: {measured}", test.name);
            }
            Ok(Verdict::Skipped(reason)) => {
                skipped += 1;
                println!("SKIPPED: {}: {reason}", test.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {}: {error:#}", test.name);
            }
        }
    }
    println!("probe-tests: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
