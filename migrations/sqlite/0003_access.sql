-- Tokens for scripts: only a hash is kept. `scopes` is a comma-separated list of read, metrics.
CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    token_hash TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used  INTEGER
);
CREATE INDEX idx_api_tokens_user ON api_tokens (user_id);

-- Failed logins of the last minute, so that a restart gives a guesser no new attempts. Names are hashed: people type
-- passwords into the wrong field.
CREATE TABLE login_failures (
    user_hash TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    familiar  INTEGER NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX idx_login_failures_at ON login_failures (at);

-- Which user has logged in from which address lately.
CREATE TABLE familiar_logins (
    user_hash TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (user_hash, address)
) WITHOUT ROWID;

CREATE TABLE audit_log (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    username TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    detail   TEXT    NOT NULL
);
CREATE INDEX idx_audit_action ON audit_log (action, id);
