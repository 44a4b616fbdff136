//! Man pages and shell completions, from the definition of the command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

pub fn completions() -> Command {
    Command::new("completions")
        .about("Print shell completions")
        .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)))
}

/// For packages, so not in the help.
pub fn man() -> Command {
    Command::new("man").about("Write man pages into a directory").hide(true).arg(
        Arg::new("directory").value_name("DIRECTORY").required(true).value_parser(value_parser!(PathBuf)),
    )
}

pub fn print_completions(mut command_line: Command, arguments: &ArgMatches) {
    if let Some(shell) = arguments.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command_line, "perfwatch", &mut std::io::stdout());
    }
}

pub fn write_man_pages(command_line: Command, arguments: &ArgMatches) -> Result<()> {
    let directory = arguments.get_one::<PathBuf>("directory").context("no directory")?;
    clap_mangen::generate_to(command_line, directory)
        .with_context(|| format!("cannot write to {}", directory.display()))
}
