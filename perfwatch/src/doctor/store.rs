//! The store: whether it is reachable and writable, has space, and receives the snapshots.

use std::path::Path;

use time::OffsetDateTime;

use super::Finding;
use crate::snapshot::rfc3339;
use crate::store::StoreError;
use crate::store::inspect::{Database, Inspection};

/// Below this, the disk counts as full: the default size limit of the snapshot log.
const LOW_SPACE: u64 = 256 << 20;

/// The state of snapshots on their way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Disabled in the configuration.
    Off,
    /// Another process, if any, does it.
    Elsewhere,
    Here {
        /// Snapshots since the start.
        stored: u64,
        waiting: u64,
        lost: u64,
        /// The database does not accept them.
        failing: bool,
    },
}

/// The state of history on its way to hubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Packets in the outbox.
    pub waiting: usize,
    /// NATS does not accept them.
    pub failing: bool,
    /// Packets since the start.
    pub lost: u64,
}

/// Of a machine that keeps nothing itself.
pub(super) fn sending(sending: Sending, space: Option<(&Path, u64)>) -> Vec<Finding> {
    const NAME: &str = "recording";
    let waiting = match sending.waiting {
        0 => "nothing waits to be sent".to_owned(),
        1 => "1 packet waits to be sent".to_owned(),
        many => format!("{many} packets wait to be sent"),
    };
    let recording = match sending {
        Sending { lost: 1.., .. } => Finding::problem(
            NAME,
            format!("{} packets of history were lost since the start; {waiting}", sending.lost),
            Some("see the log; give the outbox more space (PERFWATCH_FLEET_OUTBOX_MAX_MB)".into()),
        ),
        Sending { failing: true, .. } => Finding::problem(
            NAME,
            format!("NATS does not accept history; {waiting}"),
            Some("see the log for NATS's answer; nothing is lost while the outbox has space".into()),
        ),
        Sending { .. } => Finding::ok(NAME, format!("sent to the hubs of the fleet; {waiting}")),
    };
    space.map(|(directory, free)| self::space(directory, free)).into_iter().chain([recording]).collect()
}

pub(super) fn findings(seen: &Inspection, recording: Recording, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = vec![database(seen)];
    findings.push(match &seen.read_only {
        None => Finding::ok("write access", "yes"),
        Some(why) => Finding::problem("write access", why, Some(own(seen).into())),
    });
    findings.extend(seen.space.iter().map(|(directory, free)| space(directory, *free)));
    let newest = match &seen.database {
        Some(Ok(database)) => database.newest,
        _ => None,
    };
    findings.push(self::recording(recording, newest, now));
    findings
}

fn own(seen: &Inspection) -> &'static str {
    match seen.file {
        Some(_) => {
            "run perfwatch as the user that owns the data directory, or set PERFWATCH_DATA_DIR to another one"
        }
        None => {
            "point DATABASE_URL to a server that accepts changes, and PERFWATCH_DATA_DIR to a writable directory"
        }
    }
}

fn database(seen: &Inspection) -> Finding {
    const NAME: &str = "database";
    let place = seen.file.as_ref().map_or_else(String::new, |file| format!("{}: ", file.display()));
    match &seen.database {
        None => Finding::ok(NAME, format!("{place}does not exist yet; `perfwatch serve` creates it")),
        Some(Err(error)) => {
            let remedy = match (error, &seen.file) {
                (StoreError::Unreachable(_), None) => {
                    "start the database server, or correct DATABASE_URL".to_owned()
                }
                (_, None) => "correct DATABASE_URL, or the rights of its user".to_owned(),
                (_, Some(_)) if seen.read_only.is_some() => own(seen).to_owned(),
                (_, Some(file)) => {
                    let file = file.display();
                    format!(
                        "move {file} away and restart with an empty one; `sqlite3 {file} .recover` may recover data"
                    )
                }
            };
            Finding::problem(NAME, format!("{place}{error}"), Some(remedy))
        }
        Some(Ok(Database { version, migration, known_migration, .. })) => {
            let detail = format!("{place}{version}, schema version {migration}");
            if migration > known_migration {
                let detail = format!(
                    "{detail}, written by a newer PerfWatch, which knows more than version {known_migration}"
                );
                return Finding::problem(NAME, detail, Some("update PerfWatch".into()));
            }
            let older = if migration < known_migration { "; updated at the next start" } else { "" };
            Finding::ok(NAME, format!("{detail}{older}"))
        }
    }
}

fn space(directory: &Path, free: u64) -> Finding {
    const NAME: &str = "free space";
    let (free_mib, directory) = (free >> 20, directory.display());
    let amount =
        if free_mib < 10_240 { format!("{free_mib} MiB") } else { format!("{} GiB", free_mib >> 10) };
    let detail = format!("{amount} on the file system of {directory}");
    if free >= LOW_SPACE {
        return Finding::ok(NAME, detail);
    }
    let remedy = format!(
        "free space there, or shorten the retention (Settings, or PUT /api/config/retention): {directory}"
    );
    Finding::problem(NAME, format!("only {detail}"), Some(remedy))
}

fn recording(recording: Recording, newest: Option<OffsetDateTime>, now: OffsetDateTime) -> Finding {
    const NAME: &str = "recording";
    let newest = newest.map(|at| {
        let second = rfc3339(at.truncate_to_second());
        format!("newest stored snapshot: {second} ({})", age(now - at))
    });
    match recording {
        Recording::Off => Finding::note(NAME, "switched off (BACKGROUND_COLLECTION_ENABLED)"),
        Recording::Elsewhere => match newest {
            Some(newest) => Finding::ok(NAME, newest),
            None => Finding::ok(NAME, "no history is stored yet"),
        },
        Recording::Here { lost, .. } if lost > 0 => Finding::problem(
            NAME,
            format!(
                "{lost} snapshots were lost since the start, because neither database nor disk accepted them"
            ),
            Some("see the log; make sure that the database answers and the data directory has space".into()),
        ),
        Recording::Here { waiting, failing: true, .. } => Finding::problem(
            NAME,
            format!("the database accepts no snapshots; {waiting} wait on disk"),
            Some("see the log for the database's answer; nothing is lost while the disk has space".into()),
        ),
        Recording::Here { stored, waiting, .. } => {
            let newest = newest.map_or_else(String::new, |newest| format!("; {newest}"));
            Finding::ok(NAME, format!("{stored} snapshots stored since the start, {waiting} waiting{newest}"))
        }
    }
}

fn age(age: time::Duration) -> String {
    match age.whole_seconds() {
        ..0 => "in the future".to_owned(),
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    const GIB: u64 = 1 << 30;
    const GOOD: Recording = Recording::Here { stored: 60, waiting: 3, lost: 0, failing: false };

    fn seen(free: u64) -> Inspection {
        let database =
            Database { version: "SQLite 3".into(), migration: 1, known_migration: 1, newest: None };
        let space = vec![("/data".into(), free)];
        Inspection {
            file: Some("/data/perfwatch.db".into()),
            database: Some(Ok(database)),
            read_only: None,
            space,
        }
    }

    fn status(seen: &Inspection, recording: Recording, name: &str) -> Status {
        let found = findings(seen, recording, OffsetDateTime::UNIX_EPOCH);
        found.into_iter().find(|finding| finding.name == name).unwrap().status
    }

    #[test]
    fn each_fault_of_sending_is_a_problem_with_a_remedy() {
        let good = Sending { waiting: 1, failing: false, lost: 0 };
        let status = |of, free| {
            let found = sending(of, Some((Path::new("/data"), free)));
            assert!(
                found.iter().all(|found| found.status == Status::Ok || found.remedy.is_some()),
                "{found:?}"
            );
            found.iter().filter(|found| found.status == Status::Problem).count()
        };
        assert_eq!(status(good, GIB), 0);
        assert_eq!(status(Sending { failing: true, ..good }, GIB), 1);
        assert_eq!(status(Sending { lost: 2, ..good }, LOW_SPACE - 1), 2);
    }

    #[test]
    fn each_fault_of_a_store_is_a_problem_with_a_remedy() {
        let found = findings(&seen(GIB), GOOD, OffsetDateTime::UNIX_EPOCH);
        assert!(found.iter().all(|finding| finding.status == Status::Ok), "{found:?}");

        let locked_out = Inspection {
            database: Some(Err(StoreError::Database("read-only".into()))),
            read_only: Some("cannot write".into()),
            ..seen(GIB)
        };
        let found = findings(&locked_out, GOOD, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(found[0].remedy, found[1].remedy, "one cause: {found:?}");

        let gone = Inspection { database: Some(Err(StoreError::Unreachable("refused".into()))), ..seen(GIB) };
        let newer = Database { version: "SQLite 3".into(), migration: 9, known_migration: 1, newest: None };
        let newer = Inspection { database: Some(Ok(newer)), ..seen(GIB) };
        let read_only = Inspection { read_only: Some("cannot write".into()), ..seen(GIB) };
        let failing = Recording::Here { stored: 0, waiting: 9, lost: 0, failing: true };
        let lost = Recording::Here { stored: 0, waiting: 9, lost: 1, failing: false };
        for (seen, recording, name) in [
            (gone, GOOD, "database"),
            (newer, GOOD, "database"),
            (read_only, GOOD, "write access"),
            (seen(LOW_SPACE - 1), GOOD, "free space"),
            (seen(GIB), failing, "recording"),
            (seen(GIB), lost, "recording"),
        ] {
            let found = findings(&seen, recording, OffsetDateTime::UNIX_EPOCH);
            let problems: Vec<_> = found.iter().filter(|finding| finding.status == Status::Problem).collect();
            assert!(problems.len() == 1 && problems[0].name == name, "{found:?}");
            assert!(problems[0].remedy.is_some(), "{problems:?}");
        }
    }

    #[test]
    fn what_is_not_there_yet_or_switched_off_is_no_problem() {
        let none = Inspection { database: None, ..seen(GIB) };
        assert_eq!(status(&none, Recording::Elsewhere, "database"), Status::Ok);
        assert_eq!(status(&none, Recording::Elsewhere, "recording"), Status::Ok);
        assert_eq!(status(&seen(GIB), Recording::Off, "recording"), Status::Note);
    }

    #[test]
    fn ages_are_told_in_their_unit() {
        let ages = [5, 200, 8000, 200_000].map(|seconds| age(time::Duration::seconds(seconds)));
        assert_eq!(ages, ["5 s ago", "3 min ago", "2 h ago", "2 days ago"]);
    }
}
