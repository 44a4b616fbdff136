#![allow(clippy::print_stdout)]
fn main() {
    println!("probe-tests");
}
