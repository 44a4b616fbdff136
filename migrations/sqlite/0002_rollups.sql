-- Aggregates of buckets of 60, 300, 3600 and 86400 seconds (tier). `data` is perfwatch's compact encoding, whose paths
-- stand once in rollup_shapes. Clustered by series, so that a chart's range is read from neighbouring pages.
CREATE TABLE metrics_rollups (
    host        TEXT    NOT NULL,
    metric_type TEXT    NOT NULL,
    tier        INTEGER NOT NULL,
    timestamp   INTEGER NOT NULL,
    shape       INTEGER NOT NULL,
    data        BLOB    NOT NULL,
    PRIMARY KEY (host, metric_type, tier, timestamp)
) WITHOUT ROWID;

CREATE TABLE rollup_shapes (
    key    INTEGER PRIMARY KEY,
    leaves TEXT    NOT NULL
);

-- Buckets whose rollup lacks rows that arrived since it was computed.
CREATE TABLE rollup_stale (
    host       TEXT    NOT NULL,
    tier       INTEGER NOT NULL,
    bucket     INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (host, tier, bucket)
) WITHOUT ROWID;

-- Up to when retention has left a tier (0 is raw) to coarser ones.
CREATE TABLE rollup_removed (
    host   TEXT    NOT NULL,
    tier   INTEGER NOT NULL,
    before INTEGER NOT NULL,
    PRIMARY KEY (host, tier)
) WITHOUT ROWID;
