DROP INDEX users_google_id_key;
