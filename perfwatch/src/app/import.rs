//! `perfwatch db import`: imports another store's history into the configured one.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::data_dir;
use crate::config::Config;
use crate::history::History;
use crate::history::import::{From, Progress, import};
use crate::host;
use crate::store;

/// Imports and returns what to print. If interrupted, the next import continues where this one stopped.
pub async fn import_history(config: &Config, from: String, host: Option<String>) -> Result<String> {
    let known = ["sqlite:", "postgres://", "postgresql://", "postgresql+asyncpg://"];
    if !known.iter().any(|scheme| from.starts_with(scheme)) {
        // Don't repeat the value: it may contain a password.
        bail!(
            "--from must begin with postgres:// or sqlite:, such as sqlite:/var/lib/perfwatch/perfwatch.db"
        );
    }
    if let Some(path) = store::sqlite_path(&from)
        && !path.try_exists().with_context(|| format!("--from: cannot access {}", path.display()))?
    {
        bail!("--from: there is no database at {}", path.display());
    }
    let dir = &config.storage.data_dir;
    data_dir::prepare(dir)?;
    let url = super::place(config).url;
    let target = store::open(&url).await.context("cannot open the database")?;
    target.ping().await.context("DATABASE_URL")?;
    let set_aside = from == url;
    let since = Instant::now();
    let mut bar = Bar::default();
    let from = From { url: from, host, set_aside };
    let host = host::this(config)?;
    target.introduce(&host).await.context("cannot write to the database")?;
    let history = History::new(target.clone(), &host.id);
    let imported = import(&history, target.as_ref(), &from, |progress| bar.show(progress)).await;
    let imported = imported.context("cannot import")?;
    bar.end();
    target.close().await;
    Ok(format!(
        "Imported {} rows in {:.0} s{}",
        imported.rows,
        since.elapsed().as_secs_f64(),
        match imported.refused {
            0 => String::new(),
            refused => format!("; {refused} were not JSON objects and were skipped"),
        }
    ))
}

/// Progress on standard error: a bar on a terminal, otherwise a line every 10 %.
#[derive(Debug, Default)]
struct Bar {
    shown: Option<u64>,
}

impl Bar {
    #[allow(clippy::print_stderr)] // progress is for a terminal, not for the log
    fn show(&mut self, progress: Progress) {
        let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(100);
        let terminal = std::io::stderr().is_terminal();
        let step = if terminal { percent } else { percent / 10 };
        if self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        let counts = format!("{percent:>3} %  {} of {} rows", progress.done, progress.total);
        if terminal {
            let filled = usize::try_from(percent.min(100) / 4).unwrap_or(0);
            eprint!("\r[{:<25}] {counts}", "#".repeat(filled));
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{counts}");
        }
    }

    #[allow(clippy::print_stderr)]
    fn end(&self) {
        if self.shown.is_some() && std::io::stderr().is_terminal() {
            eprintln!();
        }
    }
}
