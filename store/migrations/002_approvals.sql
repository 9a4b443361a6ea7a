-- What administrators decided about the permissions of scripts, and what each run was given.

CREATE TABLE approval (
    id            INTEGER PRIMARY KEY,
    script        TEXT NOT NULL,
    -- Of the text that was judged: any other text of this script is not covered.
    sha256        TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('approved', 'refused')),
    -- JSON: the permissions as the script writes them, and where they led when they were judged.
    asked         TEXT NOT NULL,
    grants        TEXT NOT NULL,
    -- The text itself, of a script's newest approval only: what the next text is compared with.
    text          BLOB,
    uid           INTEGER NOT NULL,
    name          TEXT NOT NULL,
    decided_at    REAL NOT NULL,
    -- NULL for the decision that counts; every script has one at most.
    superseded_at REAL
);

CREATE UNIQUE INDEX approval_in_force ON approval (script) WHERE superseded_at IS NULL;
CREATE INDEX approval_of_script ON approval (script, id);

-- JSON: the grants of a run by their canonical paths; NULL when it had none.
ALTER TABLE run ADD COLUMN grants TEXT;
