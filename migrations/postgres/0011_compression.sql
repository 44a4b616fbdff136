-- Long documents are compressed; lz4 takes a fraction of the default's time, where the server was built with it.
DO $$
BEGIN
    ALTER TABLE metrics_snapshots ALTER COLUMN metric_data SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN NULL;
END $$;
