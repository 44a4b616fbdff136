-- A role that reads the views and nothing else: no accounts, no tokens, no raw documents. Run it once in perfwatch's
-- database, as a role that may create roles and grant rights on perfwatch's views, such as the superuser:
--
--     psql --dbname perfwatch --variable password="$GRAFANA_DB_PASSWORD" --file deploy/grafana/reader.sql

CREATE ROLE perfwatch_reader LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 10;
ALTER ROLE perfwatch_reader SET default_transaction_read_only = on;
ALTER ROLE perfwatch_reader SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO perfwatch_reader;
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT viewname FROM pg_views WHERE schemaname = 'public' AND viewname LIKE 'perfwatch\_%'
    LOOP
        EXECUTE format('GRANT SELECT ON public.%I TO perfwatch_reader', name);
    END LOOP;
END
$$;
