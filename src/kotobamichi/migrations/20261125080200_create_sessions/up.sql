-- Who is logged in where, and the mails that prove an address.

ALTER TABLE users
    ADD COLUMN token_version integer NOT NULL DEFAULT 0,
    ADD COLUMN google_id text CONSTRAINT users_google_id_key UNIQUE;

COMMENT ON COLUMN users.token_version IS 'Grows when all access tokens of the account must end at once: new password, other role';
COMMENT ON COLUMN users.google_id IS 'The subject of the Google account that may log in as this one';

-- What an app process remembers of accounts (role, token_version) is good until one of them changes.
CREATE TRIGGER users_changed AFTER UPDATE OR DELETE OR TRUNCATE ON users
FOR EACH STATEMENT EXECUTE FUNCTION note_change('accounts');

-- One row per refresh token. A rotation revokes a token and names its successor; all that descend from one login are a family.
CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    family_id uuid NOT NULL,
    token_hash text NOT NULL CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    client text NOT NULL DEFAULT '',
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    replaced_by uuid
);

CREATE INDEX refresh_tokens_user_id_idx ON refresh_tokens (user_id) WHERE revoked_at IS NULL;
CREATE INDEX refresh_tokens_family_id_idx ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expires_at_idx ON refresh_tokens (expires_at);

COMMENT ON TABLE refresh_tokens IS 'The id is the jti of the token';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256 hex of the token: the table gives nobody a session';
COMMENT ON COLUMN refresh_tokens.client IS 'SHA-256 hex of what tells one client from another: who may use a token again just after its rotation';

-- A link that was mailed: it proves an address or resets a password, once.
CREATE TABLE email_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    token_hash text NOT NULL CONSTRAINT email_tokens_token_hash_key UNIQUE CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE INDEX email_tokens_user_id_purpose_idx ON email_tokens (user_id, purpose);
CREATE INDEX email_tokens_expires_at_idx ON email_tokens (expires_at);

-- When mails were asked for, per address and whether or not there is such an account: the answers must not tell.
CREATE TABLE mail_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address_hash text NOT NULL CHECK (address_hash ~ '^[0-9a-f]{64}$'),
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    requested_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX mail_requests_address_hash_purpose_requested_at_idx ON mail_requests (address_hash, purpose, requested_at);
CREATE INDEX mail_requests_requested_at_idx ON mail_requests (requested_at);

-- Mails that wait to be sent: written in the transaction of the request, sent by a worker. Once sent, the text (it holds the link) is gone.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password', 'notice')),
    recipient text NOT NULL CHECK (recipient <> ''),
    subject text NOT NULL,
    body_text text,
    body_html text,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error text,
    sent_at timestamptz,
    given_up_at timestamptz
);

CREATE INDEX outbox_next_attempt_at_idx ON outbox (next_attempt_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_created_at_idx ON outbox (created_at);
