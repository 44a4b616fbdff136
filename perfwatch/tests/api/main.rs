//! The whole HTTP contract, tested over a real socket with each storage engine.
#![allow(clippy::unwrap_used, clippy::panic)] // support code fails its test like the test itself
#![allow(missing_debug_implementations)] // fixtures are not printed
#![allow(clippy::print_stdout)] // a skipped test says so
#![allow(clippy::duplicate_mod)] // on purpose: the same tests once for each engine

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/readings.rs"]
mod readings;
mod server;

macro_rules! contract {
    ($($engine:ident),+) => {$(
        #[path = "."]
        mod $engine {
            mod account;
            mod across;
            mod alert_rules;
            mod alerts;
            mod all_processes;
            mod boards;
            mod browser;
            mod columns;
            mod configuration;
            mod connections;
            mod doctor;
            mod encrypted;
            mod events;
            mod guard;
            mod history;
            mod hosts_of_users;
            mod metrics;
            mod processes;
            mod proxies;
            mod public;
            mod queue;
            mod stream;
            mod tokens;
            mod users;

            use crate::server::{Engine, Server, Setup};

            /// `None` if the engine is not installed.
            pub async fn start() -> Option<Server> {
                start_with(Setup::default()).await
            }

            pub async fn start_with(setup: Setup) -> Option<Server> {
                Server::start(Engine::$engine, setup).await
            }
        }
    )+};
}

contract!(sqlite, postgresql);
