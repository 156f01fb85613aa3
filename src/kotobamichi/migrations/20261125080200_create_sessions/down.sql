DROP TABLE outbox;
DROP TABLE mail_requests;
DROP TABLE email_tokens;
DROP TABLE refresh_tokens;
DROP TRIGGER users_changed ON users;
ALTER TABLE users DROP COLUMN google_id, DROP COLUMN token_version;
