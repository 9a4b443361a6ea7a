-- Runs and their output.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    id              INTEGER PRIMARY KEY,
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    mode            TEXT NOT NULL,
    actor           TEXT NOT NULL,
    source          TEXT NOT NULL,
    queued_at       REAL NOT NULL,
    timeout         REAL NOT NULL,
    code_sha256     TEXT NOT NULL,
    isolation       TEXT NOT NULL,
    started_at      REAL,
    finished_at     REAL,
    duration        REAL,
    slot            INTEGER,
    outcome         TEXT,
    signal          INTEGER,
    value           TEXT,
    result          TEXT,
    note            TEXT,
    error           TEXT,
    traceback       TEXT,
    output_bytes    INTEGER NOT NULL,
    output_complete INTEGER NOT NULL,
    -- Bytes of this run in table output: kept here so that the total needs no scan of the output itself.
    stored_bytes    INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX run_of_name ON run (name, id);
CREATE INDEX run_unfinished ON run (id) WHERE state <> 'finished';
CREATE INDEX run_by_end ON run (finished_at);
CREATE INDEX run_with_output ON run (finished_at, id, stored_bytes) WHERE stored_bytes > 0;

-- text is UTF-8 in a BLOB: output may hold NUL, at which SQLite's text functions stop.
CREATE TABLE output (
    run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq    INTEGER NOT NULL,
    stream TEXT NOT NULL,
    at     REAL NOT NULL,
    text   BLOB NOT NULL,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
