-- Aggregates of buckets of 60, 300, 3600 and 86400 seconds (tier). `data` is perfwatch's compact encoding, whose paths
-- stand once in rollup_shapes.
CREATE TABLE metrics_rollups (
    host        TEXT        NOT NULL,
    metric_type TEXT        NOT NULL,
    tier        INTEGER     NOT NULL,
    timestamp   TIMESTAMPTZ NOT NULL,
    shape       BIGINT      NOT NULL,
    data        BYTEA       NOT NULL,
    PRIMARY KEY (host, metric_type, tier, timestamp)
);
-- The encoding leaves nothing to compress.
ALTER TABLE metrics_rollups ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE rollup_shapes (
    key    BIGINT PRIMARY KEY,
    leaves TEXT   NOT NULL
);

-- Buckets (microseconds since 1970) whose rollup lacks rows that arrived since it was computed.
CREATE TABLE rollup_stale (
    host       TEXT    NOT NULL,
    tier       INTEGER NOT NULL,
    bucket     BIGINT  NOT NULL,
    generation BIGINT  NOT NULL,
    PRIMARY KEY (host, tier, bucket)
);

-- Up to when (microseconds since 1970) retention has left a tier (0 is raw) to coarser ones.
CREATE TABLE rollup_removed (
    host   TEXT    NOT NULL,
    tier   INTEGER NOT NULL,
    before BIGINT  NOT NULL,
    PRIMARY KEY (host, tier)
);
