//! The command line: reads the configuration, runs one command and is the only place that exits.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line talks to its user

mod manual;
mod password_prompt;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perfwatch::app;
use perfwatch::app::users::UserCommand;
use perfwatch::config::{Config, SETTINGS};
use tokio::signal::unix::{SignalKind, signal};

fn command_line() -> Command {
    Command::new("perfwatch")
        .about("Shows this machine's performance, measured in the kernel, in a browser")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(configured(
            Command::new("serve").about("Measure, keep history, and serve the page and the API"),
        ))
        .subcommand(configured(
            Command::new("snapshot").about("Measure for one interval and print the snapshot as JSON"),
        ))
        .subcommand(user_commands())
        .subcommand(db_commands())
        .subcommand(configured(
            Command::new("health").about("Ask the running server how it is; fails when it does not answer"),
        ))
        .subcommand(
            configured(
                Command::new("doctor")
                    .about("Tell what works on this machine, what does not, and how to fix it"),
            )
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the findings as JSON"))
            .after_help("Exits with 0 when everything that this machine offers is in use, with 1 otherwise."),
        )
        .subcommand(manual::completions())
        .subcommand(manual::man())
}

fn db_commands() -> Command {
    let from = Arg::new("from").long("from").value_name("URL").required(true).env("PERFWATCH_IMPORT_FROM");
    let host = Arg::new("host").long("host").value_name("NAME");
    Command::new("db").about("Look after the database").subcommand_required(true).arg_required_else_help(true).subcommand(
        configured(
            Command::new("import")
                .about("Take over the history of another store, or of the Python original's database")
                .arg(from.hide_env_values(true).help("postgres://… or sqlite:FILE; it is only read"))
                .arg(host.help("Whose history, in a store of several machines; it becomes this machine's"))
                .after_help(
                    "The configured store takes it over. Interrupted, it goes on where it stopped. A database of the \
                     original that became ours keeps its own tables aside; to import those, name the same URL.",
                ),
        ),
    )
}

fn user_commands() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("The account");
    let password = "The password is asked for at a terminal, or read as one line of standard input.";
    let role = Arg::new("role").long("role").value_name("ROLE").value_parser(["admin", "viewer"]);
    let role = role.default_value("viewer").help("A viewer changes nothing");
    Command::new("user")
        .about("Add, change, list and remove accounts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(configured(
            Command::new("add").about("Add an account").arg(name()).arg(role).after_help(password),
        ))
        .subcommand(configured(
            Command::new("passwd")
                .about("Set an account's password, which ends its logins")
                .arg(name())
                .after_help(password),
        ))
        .subcommand(configured(Command::new("list").about("List the accounts")))
        .subcommand(configured(
            Command::new("delete").about("Remove an account, its logins and its API tokens").arg(name()),
        ))
}

/// What `perfwatch user …` asks for; asks for the password, too.
fn user_command(action: &str, arguments: &ArgMatches) -> Result<UserCommand> {
    let text = |name: &str| arguments.get_one::<String>(name).cloned().unwrap_or_default();
    Ok(match action {
        "add" => UserCommand::Add {
            name: text("name"),
            role: text("role"),
            password: password_prompt::new_password()?,
        },
        "passwd" => UserCommand::Password { name: text("name"), password: password_prompt::new_password()? },
        "delete" => UserCommand::Delete { name: text("name") },
        _ => UserCommand::List,
    })
}

/// Adds a flag for every setting.
fn configured(command: Command) -> Command {
    let flags = SETTINGS.iter().map(|setting| {
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!(" [default: {}]", setting.default)
        };
        Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .value_name("VALUE")
            .hide_env_values(true)
            .help(format!("{}{default} [env: {}]", setting.help, setting.env))
    });
    command
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Configuration file [default: /etc/perfwatch/perfwatch.toml, if it is there]"),
        )
        .args(flags)
}

fn config(arguments: &ArgMatches) -> Result<Config> {
    let flag = |name: &str| arguments.get_one::<String>(name).cloned();
    let env = |name: &str| std::env::var(name).ok();
    let file = arguments.get_one::<PathBuf>("config");
    Ok(Config::load(flag, env, file.map(PathBuf::as_path))?)
}

fn run() -> Result<ExitCode> {
    let arguments = command_line().get_matches();
    let (name, mut arguments) = arguments.subcommand().context("clap demands a subcommand")?;
    let mut user = None;
    match name {
        "user" | "db" => {
            let action;
            (action, arguments) = arguments.subcommand().context("clap demands a subcommand")?;
            user = Some(action);
        }
        "completions" => {
            manual::print_completions(command_line(), arguments);
            return Ok(ExitCode::SUCCESS);
        }
        "man" => {
            manual::write_man_pages(command_line(), arguments)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = config(arguments)?;
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log)
        .with_context(|| format!("PERFWATCH_LOG: {:?} is not a log filter", config.log))?;
    let ansi = std::io::stderr().is_terminal(); // journals and files get plain text
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    if name == "health" {
        println!("{}", app::ask_health(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    if name != "user" {
        app::prepare_process(&config);
    }
    // Two workers are plenty: measuring has a thread of its own, and so has each password.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        match name {
            "user" => {
                let command = user_command(user.unwrap_or_default(), arguments)?;
                println!("{}", app::users::user(&config, command).await?);
                Ok(ExitCode::SUCCESS)
            }
            "db" => {
                let text = |name: &str| arguments.get_one::<String>(name).cloned();
                let from = text("from").context("clap demands --from")?;
                println!("{}", app::import::import_history(&config, from, text("host")).await?);
                Ok(ExitCode::SUCCESS)
            }
            "snapshot" => {
                println!("{}", app::snapshot(&config).await?);
                Ok(ExitCode::SUCCESS)
            }
            "doctor" => {
                let diagnosis = app::diagnose(config).await?;
                if arguments.get_flag("json") {
                    println!("{}", serde_json::to_string_pretty(&diagnosis)?);
                } else {
                    print!("{}", diagnosis.text());
                }
                Ok(if diagnosis.healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            _ => {
                app::serve(config, stopped()?, |line| println!("{line}")).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A source that hangs in the kernel must not keep the process.
    runtime.shutdown_background();
    result
}

/// Completes at the first SIGINT or SIGTERM.
fn stopped() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("perfwatch: {error:#}");
            ExitCode::FAILURE
        }
    }
}
