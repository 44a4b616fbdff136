-- Time before type: a tick's documents stand side by side in the index, so storing them touches one of its pages
-- instead of one for each type. Long ranges are answered from rollups, so raw scans stay short.
CREATE UNIQUE INDEX idx_metrics_timestamp ON metrics_snapshots (host, timestamp, metric_type);
DROP INDEX idx_metrics_type_timestamp;
