-- What people and scripts have noted of a machine: deployments and the like. `labels` is a JSON object of texts.
CREATE TABLE marks (
    id       INTEGER PRIMARY KEY,
    host     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    username TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    labels   TEXT    NOT NULL
);
CREATE INDEX idx_marks_at ON marks (host, at);
