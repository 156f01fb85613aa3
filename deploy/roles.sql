-- Two roles for one database: the owner changes the schema and is used by migrations alone, the app reads and writes.
-- Run once, before the first deploy, by a role that may create both; the passwords come from the environment:
--
--   OWNER_PASSWORD=... APP_PASSWORD=... psql --file deploy/roles.sql postgresql://admin@db.example.org/postgres
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD
CREATE ROLE kotobamichi_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE kotobamichi_app LOGIN PASSWORD :'app_password';
-- On a managed server the administrator is no superuser: only a member may give things to the owner.
GRANT kotobamichi_owner TO CURRENT_USER;
CREATE DATABASE kotobamichi OWNER kotobamichi_owner;
REVOKE ALL ON DATABASE kotobamichi FROM PUBLIC;
-- Words are loaded through a temporary table.
GRANT CONNECT, TEMPORARY ON DATABASE kotobamichi TO kotobamichi_app;

\connect kotobamichi
ALTER SCHEMA public OWNER TO kotobamichi_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO kotobamichi_app;
-- What the owner's migrations create from now on is open to the app.
ALTER DEFAULT PRIVILEGES FOR ROLE kotobamichi_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO kotobamichi_app;
ALTER DEFAULT PRIVILEGES FOR ROLE kotobamichi_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO kotobamichi_app;
ALTER DEFAULT PRIVILEGES FOR ROLE kotobamichi_owner IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO kotobamichi_app;
