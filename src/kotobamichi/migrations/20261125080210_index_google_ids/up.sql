-- michi: transaction = off
-- One Google account logs in as one account here. Built while others read and write: a constraint would lock the table for the scan.
CREATE UNIQUE INDEX CONCURRENTLY users_google_id_key ON users (google_id);
