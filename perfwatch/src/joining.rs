//! The command line of joining: `perfwatch join` and `perfwatch fleet`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use perfwatch::app;
use perfwatch::fleet::init::Server;

use super::{STORE, with_settings};

pub fn join_command() -> Command {
    let url = Arg::new("url").value_name("URL").required(true).help("Address of a hub's page");
    let token = Arg::new("token").value_name("TOKEN").required(true);
    let allow_http = Arg::new("join_allow_http").long("allow-http").action(ArgAction::SetTrue);
    let command = Command::new("join")
        .about("Join a fleet: get credentials for sending history to its hubs")
        .arg(url)
        .arg(token.help("Made in the hub's settings, for one machine"))
        .arg(allow_http.help("Also over plain HTTP from another machine than the hub's"))
        .after_help(
            "Writes the credentials to the data directory, where the service finds them at its next start.",
        );
    with_settings(command, ["data_dir", "host_id", "procfs", "rootfs"])
}

pub fn fleet_commands() -> Command {
    let path = |name: &'static str, value: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf))
    };
    let dir = Arg::new("dir").value_name("DIR").required(true).value_parser(value_parser!(PathBuf));
    let listen =
        Arg::new("nats-listen").long("nats-listen").value_name("ADDRESS").default_value("0.0.0.0:4222");
    let certificate = path("nats-cert", "FILE").requires("nats-key");
    let key = path("nats-key", "FILE").requires("nats-cert");
    let init = Command::new("init")
        .about("Make the keys of a fleet and the configuration of its NATS server")
        .arg(dir.help("Where to write them; if they are there already, nothing changes"))
        .arg(listen.help("Address of the NATS server"))
        .arg(path("nats-dir", "DIR").default_value("/var/lib/nats").help("Where it keeps its data"))
        .arg(certificate.help("Its certificate, PEM"))
        .arg(key.help("The certificate's key, PEM"));
    let hours =
        Arg::new("hours").long("hours").value_name("N").value_parser(value_parser!(u32).range(1..=720));
    let token = Command::new("token")
        .about("Make a token that lets one machine join, as a hub's settings do")
        .arg(hours.default_value("1").help("How long it is valid"))
        .arg(path("out", "FILE").help("Write it to a file that only its owner can read"));
    Command::new("fleet")
        .about("Set up a fleet that machines can join")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(init, []))
        .subcommand(with_settings(token, STORE))
}

/// Runs `perfwatch fleet init`; returns what to print.
pub fn init(arguments: &ArgMatches) -> Result<String> {
    let path = |name: &str| arguments.get_one::<PathBuf>(name).cloned();
    let dir = path("dir").context("no DIR")?;
    let server = Server {
        listen: arguments.get_one::<String>("nats-listen").cloned().unwrap_or_default(),
        store_dir: path("nats-dir").unwrap_or_default(),
        tls: path("nats-cert").zip(path("nats-key")),
    };
    app::joining::init_fleet(&dir, &server)
}
