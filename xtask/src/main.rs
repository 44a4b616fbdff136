//! PerfWatch's build tool. `cargo xtask --help` lists the commands; each is one file here.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line talks to its user

mod lint;
mod step;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and checks PerfWatch")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check formatting and lints; changes nothing
    Lint,
    /// Run every test and count them
    Test,
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Lint => lint::run_lints(),
        Command::Test => test::run_tests(),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
