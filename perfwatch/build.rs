//! Migrations are embedded by a macro, which cargo cannot see through.
#![allow(clippy::print_stdout)] // how a build script talks to cargo

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
