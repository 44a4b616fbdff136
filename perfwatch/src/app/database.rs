//! `perfwatch db check` and `perfwatch db salvage`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::data_dir;
use crate::config::Config;
use crate::history::check;
use crate::profiles::table::Table;
use crate::store;
use crate::store::check::{Count, Findings};
use crate::store::chunks::{Chunk, Content};

/// What to print, and whether the database is sound.
pub async fn check(config: &Config) -> Result<(String, bool)> {
    let place = super::place(config);
    let file = existing(&place.url)?;
    let findings = store::check::check(&place.url, is_sound).await.context("cannot check the database")?;
    let of_file = file.as_ref().map(|file| format!(", {}", file.display())).unwrap_or_default();
    let version = if findings.version.is_empty() { "SQLite" } else { &findings.version };
    let mut lines = vec![format!("{version}{of_file}")];
    lines.extend(findings.problems.iter().map(|problem| format!("damaged: {problem}")));
    lines.extend(of_chunks(&findings));
    let sound = findings.is_sound();
    lines.push(match (sound, file.is_some()) {
        (true, _) => "The database is sound.".to_owned(),
        (false, true) => {
            "Stop the server; `perfwatch db salvage` then moves the file aside and copies what can be read."
                .to_owned()
        }
        (false, false) => "Everything else is served; to repair PostgreSQL, restore a backup.".to_owned(),
    });
    Ok((lines.join("\n"), sound))
}

/// Moves a damaged file aside, copies what can be read into a new one, and returns what to print.
pub async fn salvage(config: &Config) -> Result<String> {
    let place = super::place(config);
    let Some(file) = existing(&place.url)? else {
        bail!("only an SQLite file can be salvaged; to repair PostgreSQL, restore a backup");
    };
    data_dir::prepare(&place.data_dir)?;
    let _no_server = data_dir::lock(&place.data_dir)?;
    let findings = store::check::check(&place.url, is_sound).await.context("cannot check the database")?;
    if findings.is_sound() {
        return Ok(format!("{} is sound: there is nothing to salvage", file.display()));
    }
    let salvaged = store::salvage::salvage(&file, is_sound).await.context("cannot salvage the database")?;
    let mut lines = vec![
        format!("Moved the damaged file to {}", salvaged.aside.display()),
        format!("Copied {} accounts and {} rows of settings and records", salvaged.accounts, salvaged.other),
    ];
    lines.extend(of_chunks(&salvaged.findings));
    lines.extend(salvaged.findings.problems);
    if salvaged.accounts == 0 {
        lines
            .push("No account could be read: the next start of the server creates the first one.".to_owned());
    }
    Ok(lines.join("\n"))
}

fn is_sound(chunk: &Chunk) -> bool {
    match chunk.content {
        Content::Readings(of) => check::check(of, chunk.tier, &chunk.data).is_ok(),
        Content::Profiles(_) => Table::decode(&chunk.data).is_ok(),
    }
}

/// The SQLite file, which must exist; `None` on PostgreSQL.
fn existing(url: &str) -> Result<Option<PathBuf>> {
    let Some(path) = store::sqlite_path(url) else { return Ok(None) };
    if !path.try_exists().with_context(|| format!("cannot access {}", path.display()))? {
        bail!(
            "there is no database at {}; set PERFWATCH_DATA_DIR or DATABASE_URL to those of the server",
            path.display()
        );
    }
    Ok(Some(path))
}

fn of_chunks(findings: &Findings) -> Vec<String> {
    let Count { sound, damaged } = findings.total();
    let mut lines = vec![format!("Sound chunks of history: {sound}")];
    if damaged > 0 {
        let types = findings.chunks.iter().filter(|(_, count)| count.damaged > 0);
        let types: Vec<String> =
            types.map(|(metric_type, count)| format!("{} {}", metric_type.as_str(), count.damaged)).collect();
        lines.push(format!("Damaged chunks of history: {damaged} ({})", types.join(", ")));
    }
    lines
}
