-- What runs were given, so that each can be repeated and compared.

-- SHA-256 of the inputs as canonical JSON; NULL for runs of before.
ALTER TABLE run ADD COLUMN inputs_sha256 TEXT;
-- The run that this one repeats; it may be gone by now.
ALTER TABLE run ADD COLUMN replay_of INTEGER;

-- Only of runs that were given something, and only if it was not too large.
CREATE TABLE run_input (
    run_id INTEGER PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    inputs TEXT NOT NULL
);

-- Every text that ran, once. It goes with the last run of it, whoever removes that.
CREATE TABLE run_code (
    sha256 TEXT PRIMARY KEY,
    text   BLOB NOT NULL
);
CREATE INDEX run_of_code ON run (code_sha256);
CREATE TRIGGER run_code_unused AFTER DELETE ON run
WHEN NOT EXISTS (SELECT 1 FROM run WHERE code_sha256 = old.code_sha256)
BEGIN
    DELETE FROM run_code WHERE sha256 = old.code_sha256;
END;

-- The run history is read in pages by these, newest first.
CREATE INDEX run_of_outcome ON run (outcome, id);
CREATE INDEX run_of_actor ON run (actor, id);
CREATE INDEX run_by_queueing ON run (queued_at);
