//! PerfWatch's build tool. `cargo xtask --help` lists the commands; each is one file here.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line talks to its user

mod armv7;
mod bench;
mod build;
mod build_ebpf;
mod client;
mod compose_test;
mod cross;
mod debian;
mod dev;
mod dist;
#[cfg(test)]
mod documentation;
mod kernels;
mod lint;
mod page;
mod prerequisites;
mod run;
mod schemathesis;
mod seed;
mod steady_rustc;
mod step;
mod test;

use clap::{Parser, Subcommand};

/// Builds, runs and checks PerfWatch
///
/// Start with `cargo xtask run`: it builds what is missing and serves http://127.0.0.1:8000.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Options),
    /// Build the whole server, page and eBPF objects inside, at target/release/perfwatch
    Build,
    /// Serve with Vite's dev server in front; rebuild and restart the server on change
    Dev,
    Test(test::Options),
    Lint(lint::Options),
    BuildEbpf(build_ebpf::Options),
    Bench(bench::Options),
    Seed(seed::Options),
    ComposeTest(compose_test::Options),
    Dist(dist::Options),
    Kernels(kernels::Options),
    Schemathesis(schemathesis::Options),
    /// Build the server for 32-bit ARM, and try it under QEMU's user emulation
    Armv7,
}

fn main() -> std::process::ExitCode {
    if std::env::var_os(steady_rustc::REQUEST).is_some() {
        eprintln!("error: {}", steady_rustc::become_rustc());
        return std::process::ExitCode::FAILURE;
    }
    let command = Cli::parse().command;
    let result = step::stop_children_on_signals().and_then(|()| match command {
        Command::Run(options) => run::run(&options),
        Command::Build => build::build().map(|server| println!("{}", server.display())),
        Command::Dev => dev::dev(),
        Command::Test(options) => test::test(&options),
        Command::Lint(options) => lint::lint(&options),
        Command::BuildEbpf(options) => build_ebpf::build_ebpf(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Seed(options) => seed::seed(&options),
        Command::Dist(options) => dist::dist(&options),
        Command::ComposeTest(options) => compose_test::compose_test(&options),
        Command::Kernels(options) => kernels::kernels(&options),
        Command::Schemathesis(options) => schemathesis::schemathesis(&options),
        Command::Armv7 => armv7::armv7(),
    });
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
