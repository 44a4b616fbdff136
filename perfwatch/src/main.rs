//! The command line: reads the configuration and runs one command. Nothing else ends the process.
#![allow(clippy::print_stdout, clippy::print_stderr)] // what a command line is for

mod joining;
mod manual;
mod password_prompt;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perfwatch::app::privileges::Purpose;
use perfwatch::app::users::UserCommand;
use perfwatch::app::{self, Role};
use perfwatch::config::{Config, SETTINGS};
use perfwatch::doctor;
use tokio::signal::unix::{SignalKind, signal};

fn command_line() -> Command {
    Command::new("perfwatch")
        .about("Monitor this machine's performance: measured in the kernel, shown in a browser")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            Command::new("serve").about("Measure, record history, and serve the page and the API"),
            SETTINGS.iter().map(|setting| setting.name),
        ))
        .subcommand(with_settings(
            Command::new("agent").about("Measure, and send history to the hubs of a fleet"),
            MEASURING.into_iter().chain(SENDING).chain(JOINING),
        ))
        .subcommand(joining::join_command())
        .subcommand(joining::fleet_commands())
        .subcommand(with_settings(
            Command::new("hub").about("Store the history that a fleet sends, and serve the page and the API"),
            SETTINGS
                .iter()
                .map(|setting| setting.name)
                .filter(|name| !MEASURING.contains(name) && !JOINING.contains(name)),
        ))
        .subcommand(with_settings(
            Command::new("snapshot")
                .about("Measure for one interval and print the snapshot as JSON")
                .after_help("Fails if nearly all sources do."),
            MEASURING,
        ))
        .subcommand(profile_command())
        // How the server names code; see `profiles::samples::symbolizer`.
        .subcommand(Command::new("symbolize").hide(true))
        .subcommand(user_commands())
        .subcommand(db_commands())
        .subcommand(alert_commands())
        .subcommand(with_settings(Command::new("health").about("Check server health"), SERVER))
        .subcommand(
            with_settings(
                Command::new("doctor")
                    .about("Report what works on this machine, what does not, and how to fix it"),
                MEASURING.into_iter().chain(STORE).chain(["background_collection_enabled"]),
            )
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the findings as JSON"))
            .after_help("Exits with 0 if there is nothing to fix, with 1 otherwise."),
        )
        .subcommand(manual::completions())
        .subcommand(manual::man())
}

/// Settings of commands that measure.
const MEASURING: [&str; 9] = [
    "sampling_interval_seconds",
    "perf_events_enabled",
    "perf_events_cpu_cores",
    "perf_events_interval_ms",
    "profile_hz",
    "ebpf_budget_percent",
    "procfs",
    "sysfs",
    "rootfs",
];
/// Settings of a machine that only sends.
const SENDING: [&str; 9] = [
    "data_dir",
    "spool_max_mb",
    "host_id",
    "fleet_url",
    "fleet_credentials",
    "fleet_ca",
    "fleet_outbox_max_mb",
    "command_lines",
    "container_sockets",
];
/// Settings of a machine that joins a fleet.
const JOINING: [&str; 4] = ["join_url", "join_token", "join_allow_http", "labels"];
/// Settings that say where the store is.
const STORE: [&str; 2] = ["database_url", "data_dir"];
/// Settings that say where the server is.
const SERVER: [&str; 3] = ["listen", "tls_cert", "tls_key"];

fn profile_command() -> Command {
    let number = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let range = |range: std::ops::RangeInclusive<i64>| value_parser!(u32).range(range);
    let seconds = number("seconds", "N").value_parser(range(1..=3600)).default_value("10");
    let hz = number("hz", "N").value_parser(range(1..=999)).default_value("99");
    let pid = number("pid", "PID").value_parser(range(1..=i64::from(i32::MAX)));
    with_settings(
        Command::new("profile")
            .about("Sample which code runs, and print stacks for a flame graph")
            .arg(seconds.help("How long; Ctrl-C ends earlier"))
            .arg(hz.help("Samples a second of each busy CPU"))
            .arg(pid.help("Only this process"))
            .after_help(
                "Prints folded stacks, a line each with a count, as flame graph tools read them; the processes' names \
                 come first. Programs need no frame pointers.",
            ),
        ["procfs", "sysfs", "rootfs"],
    )
}

fn db_commands() -> Command {
    let from = Arg::new("from").long("from").value_name("URL").required(true).env("PERFWATCH_IMPORT_FROM");
    let host = Arg::new("host").long("host").value_name("NAME");
    let import = Command::new("import")
        .about("Import the history of another store, or of the Python original's database")
        .arg(from.hide_env_values(true).help("Source, only read: postgres://… or sqlite:FILE"))
        .arg(host.help("Name or ID of the machine to import, if the source has several"))
        .after_help(
            "History is imported into the configured store, as this machine's. If interrupted, the import continues \
             where it stopped when started again. A server started on the original's database keeps the old tables \
             aside; to import them, give the same URL.",
        );
    let check = Command::new("check")
        .about("Check the database and all of its history, without changing anything")
        .after_help("Exits with 0 if it is sound, with 1 otherwise. The server may be running.");
    let salvage = Command::new("salvage")
        .about("Move a damaged SQLite file aside and copy what can be read into a new one")
        .after_help("The server must not be running. The damaged file is kept as perfwatch.db.damaged-TIME.");
    Command::new("db")
        .about("Manage the database")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(import, STORE.into_iter().chain(["host_id", "rootfs"])))
        .subcommand(with_settings(check, STORE))
        .subcommand(with_settings(salvage, STORE))
}

fn alert_commands() -> Command {
    let files = || {
        Arg::new("files")
            .value_name("FILE")
            .num_args(0..)
            .value_parser(value_parser!(PathBuf))
            .help("Files with rules; without any, those of the configured directory")
    };
    let check = Command::new("check")
        .about("Check files with alert rules")
        .arg(files())
        .after_help("Exits with 0 if all rules can be used, with 1 otherwise.");
    let test = Command::new("test")
        .about("Run the tests in files with alert rules")
        .arg(files())
        .after_help("Exits with 0 if all tests pass, with 1 otherwise. Tests may also be about stock rules.");
    let list = Command::new("list").about("List stock rules and those of the configured directory");
    Command::new("alerts")
        .about("Check, test and list alert rules")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([check, test, list].map(|command| with_settings(command, ["alerts_dir"])))
}

fn user_commands() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("User name");
    let password =
        "The password is prompted for, or read from standard input (one line) if that is not a terminal.";
    let role = Arg::new("role").long("role").value_name("ROLE").value_parser(["admin", "viewer"]);
    let role = role.default_value("viewer").help("Viewers are read-only");
    let hosts = || {
        Arg::new("hosts")
            .value_name("LABELS")
            .help("Labels of the hosts that a viewer sees, such as role=web,site=fra; none: all")
    };
    let add = Command::new("add")
        .about("Add an account")
        .arg(name())
        .arg(role)
        .arg(hosts().long("hosts"))
        .after_help(password);
    let limit = Command::new("hosts")
        .about("Set which hosts an account sees and sign out all its sessions")
        .arg(name())
        .arg(hosts());
    let passwd = Command::new("passwd")
        .about("Set an account's password and sign out all its sessions")
        .arg(name())
        .after_help(password);
    let list = Command::new("list").about("List the accounts");
    let delete =
        Command::new("delete").about("Delete an account with its sessions and API tokens").arg(name());
    let commands = [add, passwd, limit, list, delete];
    Command::new("user")
        .about("Add, change, list and delete accounts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands.map(|command| with_settings(command, STORE)))
}

/// The command of `perfwatch user …`; prompts for the password if it needs one.
fn user_command(action: &str, arguments: &ArgMatches) -> Result<UserCommand> {
    let text = |name: &str| arguments.get_one::<String>(name).cloned().unwrap_or_default();
    Ok(match action {
        "add" => UserCommand::Add {
            name: text("name"),
            role: text("role"),
            hosts: text("hosts"),
            password: password_prompt::new_password()?,
        },
        "passwd" => UserCommand::Password { name: text("name"), password: password_prompt::new_password()? },
        "hosts" => UserCommand::Hosts { name: text("name"), hosts: text("hosts") },
        "delete" => UserCommand::Delete { name: text("name") },
        _ => UserCommand::List,
    })
}

/// Adds flags for the named settings, `--log` and `--config`.
fn with_settings(command: Command, names: impl IntoIterator<Item = &'static str>) -> Command {
    let mut names: Vec<_> = names.into_iter().collect();
    names.push("log");
    let flags = SETTINGS.iter().filter(|setting| names.contains(&setting.name)).map(|setting| {
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
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file [default: /etc/perfwatch/perfwatch.toml, if it exists]");
    command.arg(config).args(flags)
}

fn config(arguments: &ArgMatches) -> Result<Config> {
    // A command has flags for its own settings only.
    let flag = |name: &str| match arguments.try_get_one::<bool>(name) {
        Ok(Some(true)) => Some("true".to_owned()),
        Ok(_) => None,
        Err(_) => arguments.try_get_one::<String>(name).ok().flatten().cloned(),
    };
    let env = |name: &str| std::env::var(name).ok();
    let file = arguments.get_one::<PathBuf>("config");
    Ok(Config::load(flag, env, file.map(PathBuf::as_path))?)
}

fn start_logging(config: &Config, command: &str) -> Result<()> {
    let default = match command {
        "serve" | "agent" | "hub" => "info",
        // What sources report is in its findings.
        "doctor" => "error",
        _ => "warn",
    };
    let level = config.log.as_deref().unwrap_or(default);
    let Ok(filter) = tracing_subscriber::EnvFilter::try_new(level) else {
        bail!(
            "PERFWATCH_LOG (or --log): {level:?} is not a log level; use error, warn, info, debug, trace or off, or \
             directives such as perfwatch=debug"
        );
    };
    // What of it matters is told once, by the fleet's connection.
    let filter =
        if level.contains("async_nats") { filter } else { filter.add_directive("async_nats=off".parse()?) };
    let ansi = std::io::stderr().is_terminal(); // journals and files get plain text
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    Ok(())
}

/// Prints to standard output; a reader that has left, such as `head`, is no error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn run() -> Result<ExitCode> {
    let arguments = command_line().get_matches();
    let (name, mut arguments) = arguments.subcommand().context("no subcommand")?;
    let mut action = "";
    match name {
        "user" | "db" | "alerts" | "fleet" => {
            (action, arguments) = arguments.subcommand().context("no subcommand")?;
        }
        "completions" => {
            manual::print_completions(command_line(), arguments);
            return Ok(ExitCode::SUCCESS);
        }
        "symbolize" => {
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            perfwatch::profiles::samples::symbolizer::run()?;
            return Ok(ExitCode::SUCCESS);
        }
        "man" => {
            manual::write_man_pages(command_line(), arguments)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = config(arguments)?;
    start_logging(&config, name)?;
    if name == "health" {
        print(&app::ask_health(&config)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if name == "fleet" && action == "init" {
        print(&joining::init(arguments)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if name == "alerts" {
        let files = arguments.try_get_many::<PathBuf>("files").ok().flatten();
        let files: Vec<PathBuf> = files.into_iter().flatten().cloned().collect();
        let (text, is_good) = app::alerts::run(&config, action, &files);
        print(&text)?;
        return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !matches!(name, "user" | "fleet" | "join") {
        let purpose = match name {
            "serve" | "agent" => Purpose::Serving,
            "profile" => Purpose::Profiling,
            _ => Purpose::Measuring,
        };
        app::prepare_process(&config, purpose);
    }
    // Two workers are enough: measuring and password hashing have their own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        match name {
            "user" => {
                let command = user_command(action, arguments)?;
                print(&app::users::user(&config, command).await?)?;
                Ok(ExitCode::SUCCESS)
            }
            "db" if action == "check" => {
                let (findings, sound) = app::database::check(&config).await?;
                print(&findings)?;
                Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            "db" if action == "salvage" => {
                print(&app::database::salvage(&config).await?)?;
                Ok(ExitCode::SUCCESS)
            }
            "db" => {
                let text = |name: &str| arguments.get_one::<String>(name).cloned();
                let from = text("from").context("no --from")?;
                print(&app::import::import_history(&config, from, text("host")).await?)?;
                Ok(ExitCode::SUCCESS)
            }
            "join" => {
                let text = |name: &str| arguments.get_one::<String>(name).cloned().unwrap_or_default();
                print(&app::joining::join_fleet(&config, &text("url"), &text("token")).await?)?;
                Ok(ExitCode::SUCCESS)
            }
            "fleet" => {
                let hours = arguments.get_one::<u32>("hours").copied().unwrap_or(1);
                let lifetime = std::time::Duration::from_secs(3600 * u64::from(hours));
                let file = arguments.get_one::<PathBuf>("out").map(PathBuf::as_path);
                print(&app::joining::fleet_token(&config, lifetime, file).await?)?;
                Ok(ExitCode::SUCCESS)
            }
            "snapshot" => {
                app::measure::snapshot(&config, print).await?;
                Ok(ExitCode::SUCCESS)
            }
            "profile" => {
                profile(&config, arguments).await?;
                Ok(ExitCode::SUCCESS)
            }
            "doctor" => {
                let diagnosis = app::measure::examine(config).await?;
                if arguments.get_flag("json") {
                    print(&serde_json::to_string_pretty(&diagnosis)?)?;
                } else {
                    print(&doctor::text(&diagnosis))?;
                }
                Ok(if diagnosis.healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            "agent" => {
                app::fleet::agent(config, stopped()?, |line| println!("{line}")).await?;
                Ok(ExitCode::SUCCESS)
            }
            _ => {
                let role = if name == "hub" { Role::Hub } else { Role::Machine };
                app::serve(config, role, stopped()?, |line| println!("{line}")).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A source that hangs in the kernel must not keep the process alive.
    runtime.shutdown_background();
    result
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
async fn profile(config: &Config, arguments: &ArgMatches) -> Result<()> {
    let number = |name: &str| arguments.get_one::<u32>(name).copied();
    let options = app::profile::Options {
        seconds: number("seconds").context("no --seconds")?,
        hz: number("hz").context("no --hz")?,
        pid: number("pid"),
    };
    let (stacks, summary) = app::profile::profile(config, options, stopped()?).await?;
    if !stacks.is_empty() {
        print(&stacks)?;
    }
    eprintln!("{summary}");
    Ok(())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
async fn profile(_: &Config, _: &ArgMatches) -> Result<()> {
    bail!("profiles are taken on x86-64 and arm64 only")
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
            eprintln!("perfwatch: {}", app::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(path: &[&str]) -> Vec<String> {
        let mut line = command_line();
        line.build();
        let command = path.iter().fold(&line, |command, name| command.find_subcommand(name).unwrap());
        command.get_arguments().filter_map(|argument| Some(argument.get_long()?.to_owned())).collect()
    }

    #[test]
    fn each_command_has_the_flags_of_its_own_settings() {
        command_line().debug_assert();
        let mut names: Vec<_> = MEASURING.into_iter().chain(SENDING).chain(STORE).chain(SERVER).collect();
        names.retain(|name| !SETTINGS.iter().any(|setting| setting.name == *name));
        assert_eq!(names, [""; 0], "not a setting");

        assert!(SETTINGS.iter().all(|setting| flags(&["serve"]).contains(&setting.name.replace('_', "-"))));
        assert_eq!(
            flags(&["user", "add"]),
            ["role", "hosts", "config", "database-url", "data-dir", "log", "help"]
        );
        for action in ["passwd", "hosts", "list", "delete"] {
            assert_eq!(flags(&["user", action]), ["config", "database-url", "data-dir", "log", "help"]);
        }
        assert_eq!(flags(&["health"]), ["config", "listen", "tls-cert", "tls-key", "log", "help"]);
        assert!(!flags(&["snapshot"]).contains(&"listen".to_owned()));
        assert!(!flags(&["agent"]).contains(&"listen".to_owned()));
        assert!(!flags(&["hub"]).contains(&"procfs".to_owned()));
        assert!(flags(&["db", "import"]).contains(&"host-id".to_owned()));
    }
}
