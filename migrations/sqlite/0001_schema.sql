-- Times are microseconds since 1970-01-01 UTC: exact, ordered, six bytes.

CREATE TABLE users (
    id               INTEGER PRIMARY KEY,
    username         TEXT    NOT NULL UNIQUE,
    password_hash    TEXT    NOT NULL,
    role             TEXT    NOT NULL,
    token_generation INTEGER NOT NULL DEFAULT 0,
    created_at       INTEGER NOT NULL,
    last_login       INTEGER,
    -- Labels of the hosts that a viewer sees; empty for all.
    hosts            TEXT    NOT NULL DEFAULT ''
);

CREATE TABLE revoked_tokens (
    token_id   TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

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

-- Tokens for scripts: only a hash is kept. `scopes` is a comma-separated list of read, metrics.
CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    token_hash TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used  INTEGER
);
CREATE INDEX idx_api_tokens_user ON api_tokens (user_id);

-- Failed logins of the last minute, so that a restart gives a guesser no new attempts. Names are hashed: people type
-- passwords into the wrong field.
CREATE TABLE login_failures (
    user_hash TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    familiar  INTEGER NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX idx_login_failures_at ON login_failures (at);

-- Which user has logged in from which address lately.
CREATE TABLE familiar_logins (
    user_hash TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (user_hash, address)
) WITHOUT ROWID;

CREATE TABLE audit_log (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    username TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    detail   TEXT    NOT NULL
);
CREATE INDEX idx_audit_action ON audit_log (action, id);

-- Boards of the page's History that users saved; `content` is JSON.
CREATE TABLE boards (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    content    TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, name)
) WITHOUT ROWID;

-- Machines that have stored something here: an id that stays, and what a machine was last: its name, and facts about it.
CREATE TABLE hosts (
    id                 TEXT    PRIMARY KEY,
    name               TEXT    NOT NULL,
    os                 TEXT,
    kernel             TEXT,
    architecture       TEXT,
    cpu_model          TEXT,
    cpu_count          INTEGER,
    memory_total_bytes INTEGER,
    time_zone          TEXT,
    -- Labels as `role=web,site=fra`: what it says of itself, and what administrators say of it, which wins.
    labels             TEXT    NOT NULL DEFAULT '',
    given_labels       TEXT    NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- What lets machines join the fleet, once each: only a hash is kept. Times are microseconds since 1970.
CREATE TABLE fleet_tokens (
    token_hash TEXT   PRIMARY KEY,
    author     TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- The public key of the machine that joined with it.
    used_by    TEXT
) WITHOUT ROWID;

-- Machines that have joined, by the key that NATS knows them by. A host has one that is not revoked.
CREATE TABLE fleet_members (
    public_key TEXT   PRIMARY KEY,
    host       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    author     TEXT   NOT NULL,
    joined_at  INTEGER NOT NULL,
    revoked_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX idx_fleet_members_host ON fleet_members (host) WHERE revoked_at IS NULL;

-- What people and scripts have noted of a machine: deployments and the like. `labels` is a JSON object of texts.
CREATE TABLE marks (
    id       INTEGER PRIMARY KEY,
    host     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    username TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    labels   TEXT    NOT NULL
);
CREATE INDEX idx_marks_at ON marks (host, at);

-- History: readings (tier 0) and their rollups (seconds of a bucket), some time of one metric type each. Times are
-- microseconds since 1970; what is in `data` is PerfWatch's own (see perfwatch/src/history/chunk).
CREATE TABLE chunks (
    host        TEXT    NOT NULL,
    metric_type TEXT    NOT NULL,
    tier        INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    begins      INTEGER NOT NULL,
    ends        INTEGER NOT NULL,
    data        BLOB    NOT NULL,
    PRIMARY KEY (host, metric_type, tier, start)
);

-- Hours and days of a tier that lack what arrived in a finer one.
CREATE TABLE stale_tiers (
    host       TEXT    NOT NULL,
    tier       INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (host, tier, start)
) WITHOUT ROWID;

-- Up to when retention has left a tier to coarser ones.
CREATE TABLE removed_tiers (
    host   TEXT    NOT NULL,
    tier   INTEGER NOT NULL,
    before INTEGER NOT NULL,
    PRIMARY KEY (host, tier)
) WITHOUT ROWID;

-- Alerts. Times are microseconds since 1970. What the rules remember of each thing, so that it survives restarts.
CREATE TABLE alert_states (
    host   TEXT NOT NULL,
    rule   TEXT NOT NULL,
    series TEXT NOT NULL,
    state  TEXT NOT NULL,
    PRIMARY KEY (host, rule, series)
);

-- From raising to clearing.
CREATE TABLE alert_episodes (
    id              TEXT NOT NULL,
    host            TEXT NOT NULL,
    rule            TEXT NOT NULL,
    series          TEXT NOT NULL,
    severity        TEXT NOT NULL,
    raised_at       INTEGER NOT NULL,
    cleared_at      INTEGER,
    value           REAL NOT NULL,
    peak            REAL NOT NULL,
    flapping        INTEGER NOT NULL,
    reason          TEXT,
    acknowledged_by TEXT,
    acknowledged_at INTEGER,
    note            TEXT,
    -- The channels that were told of it, comma-separated: its end goes to the same.
    told            TEXT NOT NULL DEFAULT '',
    -- The newest event that was silenced, while it is raised: it is told when the silence ends.
    withheld        TEXT,
    PRIMARY KEY (host, id)
);
CREATE INDEX idx_alert_episodes_raised ON alert_episodes (host, raised_at);
CREATE INDEX idx_alert_episodes_newest ON alert_episodes (raised_at);
CREATE INDEX idx_alert_episodes_open ON alert_episodes (host) WHERE cleared_at IS NULL;
CREATE INDEX idx_alert_episodes_withheld ON alert_episodes (host) WHERE withheld IS NOT NULL;

CREATE TABLE alert_silences (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    rule       TEXT,
    labels     TEXT NOT NULL,
    author     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
);

-- Maintenance windows: weekly times, which become silences; `silenced_until` is the end of the last of these.
CREATE TABLE alert_windows (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    definition     TEXT NOT NULL,
    author         TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    silenced_until INTEGER NOT NULL
);

-- Rules made over the API; those of files are not here.
CREATE TABLE alert_rules (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
);

-- Channels made over the API. Their secrets are sealed with a key that is not in the database.
CREATE TABLE alert_channels (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    secrets    TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL
);

-- Events to be delivered, stored with the state that they tell. A key names one event, however often it is sent; once an event
-- is `routed`, its channels are in `alert_deliveries`, and it goes with the last of these.
CREATE TABLE alert_outbox (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    key     TEXT NOT NULL UNIQUE,
    host    TEXT NOT NULL,
    episode TEXT NOT NULL,
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    payload TEXT NOT NULL,
    routed  INTEGER NOT NULL DEFAULT 0
);

-- A channel that is still to be told of an event.
CREATE TABLE alert_deliveries (
    channel TEXT NOT NULL,
    event   INTEGER NOT NULL REFERENCES alert_outbox (id) ON DELETE CASCADE,
    PRIMARY KEY (channel, event)
);
CREATE INDEX idx_alert_deliveries_event ON alert_deliveries (event);

-- What only one of several hubs does at a time, and which. `term` counts the times that it was taken over.
CREATE TABLE leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    term    INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
);
