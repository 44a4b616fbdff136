//! Every row of the HTTP contract, asked over a real socket.
#![allow(clippy::unwrap_used, clippy::panic)] // support code fails its test like the test itself

mod account;
mod browser;
mod connections;
mod public;
mod server;
mod stream;
