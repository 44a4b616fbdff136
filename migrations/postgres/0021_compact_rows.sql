-- Documents stay in their row, compressed (see store/postgres/arrivals.rs), instead of in a table beside.
ALTER TABLE metrics_snapshots ALTER COLUMN metric_data SET STORAGE MAIN;

-- One tree instead of two: type and time first, as all questions name them, those of the original as well.
ALTER TABLE metrics_snapshots DROP CONSTRAINT metrics_snapshots_pkey;
DROP INDEX idx_metrics_type_timestamp;
ALTER TABLE metrics_snapshots ADD PRIMARY KEY (metric_type, timestamp, host);
