-- A role that reads the views and nothing else: no accounts, no tokens, no raw documents. Run it once in perfwatch's
-- database, as a role that may create roles and grant rights on perfwatch's views, such as the superuser:
--
--     psql --dbname perfwatch --variable password="$GRAFANA_DB_PASSWORD" --file deploy/grafana/reader.sql

CREATE ROLE perfwatch_reader LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 10;
ALTER ROLE perfwatch_reader SET default_transaction_read_only = on;
ALTER ROLE perfwatch_reader SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO perfwatch_reader;
GRANT SELECT ON
    perfwatch_cpu, perfwatch_cpu_cores, perfwatch_memory, perfwatch_network, perfwatch_interfaces, perfwatch_disk,
    perfwatch_devices, perfwatch_filesystems, perfwatch_perf_events, perfwatch_memory_bandwidth, perfwatch_pressure,
    perfwatch_scheduler, perfwatch_processes, perfwatch_tcp, perfwatch_block_io
TO perfwatch_reader;
