-- Files that runs left in their records. Their bytes count among run.stored_bytes and go with the run's output.

CREATE TABLE run_file (
    run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    size   INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    -- NULL when retention has removed it. Last, so that a list of files reads none of it.
    data   BLOB,
    UNIQUE (run_id, name)
);
