-- Times are microseconds since 1970-01-01 UTC: exact, ordered, six bytes.

CREATE TABLE users (
    id               INTEGER PRIMARY KEY,
    username         TEXT    NOT NULL UNIQUE,
    password_hash    TEXT    NOT NULL,
    role             TEXT    NOT NULL,
    token_generation INTEGER NOT NULL DEFAULT 0,
    created_at       INTEGER NOT NULL,
    last_login       INTEGER
);

CREATE TABLE revoked_tokens (
    token_id   TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One JSON document per host, metric type and tick. The index is what makes a replayed batch land once.
CREATE TABLE metrics_snapshots (
    id          INTEGER PRIMARY KEY,
    host        TEXT    NOT NULL,
    timestamp   INTEGER NOT NULL,
    metric_type TEXT    NOT NULL,
    metric_data TEXT    NOT NULL
);
CREATE UNIQUE INDEX idx_metrics_type_timestamp ON metrics_snapshots (host, metric_type, timestamp);

CREATE TABLE config (
    key        TEXT    PRIMARY KEY,
    value      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE archive_policies (
    id                       INTEGER PRIMARY KEY,
    retention_days           INTEGER NOT NULL,
    archive_enabled          INTEGER NOT NULL,
    downsample_after_days    INTEGER NOT NULL,
    downsample_interval      TEXT    NOT NULL,
    cleanup_enabled          INTEGER NOT NULL,
    cleanup_interval_minutes INTEGER NOT NULL,
    last_archive_run         INTEGER,
    created_at               INTEGER NOT NULL,
    updated_at               INTEGER NOT NULL
);
