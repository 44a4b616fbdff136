//! Documentation that is written by the code it describes. `PERFWATCH_UPDATE_DOCS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "documentation/metrics.rs"]
mod metrics;

use std::fmt::Write;
use std::path::Path;

use perfwatch::config::SETTINGS;

fn configuration() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Written by perfwatch/tests/documentation.rs from the settings' registry. -->\n\n\
         A setting is taken from its flag, else from its environment variable, else from `perfwatch.toml`\n\
         (`/etc/perfwatch/perfwatch.toml`, or the file that `--config` names), else its default holds. Flags are the\n\
         names with dashes: `perfwatch serve --listen 127.0.0.1:8000`. Secrets can also be read from a file: the\n\
         variable with `_FILE` appended, or the key with `_file`, names it. Unknown keys are refused, and all\n\
         problems are reported at once.\n\n\
         Settings marked \"first start only\" can be changed in the running server afterwards; its store keeps them.\n\n\
         | key | environment | default | meaning |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let secret = if setting.secret { " Secret." } else { "" };
        let default = if setting.default.is_empty() { "not set" } else { setting.default };
        let _ = writeln!(
            text, // writing to a String cannot fail
            "| `{}` | `{}` | {} | {}.{secret} |",
            setting.name,
            setting.env,
            default.replace('|', "\\|"),
            setting.help.replace('|', "\\|"),
        );
    }
    text
}

/// Holds a file under docs/ against what the code says, or writes it.
fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("PERFWATCH_UPDATE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == text,
        "run PERFWATCH_UPDATE_DOCS=1 cargo test -p perfwatch --test documentation and commit docs/{name}"
    );
}

#[test]
fn every_setting_is_documented() {
    check("configuration.md", &configuration());
}
