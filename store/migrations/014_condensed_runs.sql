-- Repeated runs of one caller that went well, in the record of the first one of each minute.

CREATE TABLE run_condensed (
    -- The one that has a record of its own, with all that belongs to it.
    run_id   INTEGER PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    -- With it.
    runs     INTEGER NOT NULL,
    -- Of the same minute, caller and text; they have records of their own.
    failures INTEGER NOT NULL,
    shortest REAL NOT NULL,
    total    REAL NOT NULL,
    longest  REAL NOT NULL,
    first_at REAL NOT NULL,
    last_at  REAL NOT NULL,
    last_id  INTEGER NOT NULL,
    -- JSON: hashes of what they were given.
    inputs   TEXT NOT NULL,
    -- JSON: ranges of the numbers of the others.
    ids      TEXT NOT NULL,
    audited  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX run_condensed_by_last ON run_condensed (last_id);
CREATE INDEX run_condensed_unaudited ON run_condensed (run_id) WHERE audited = 0;
