-- Shared code: which files of it a run had, and which an approval was given with.

-- JSON: path and SHA-256 of each file; NULL when there was none.
ALTER TABLE run ADD COLUMN shared TEXT;

-- Their texts are in run_code. Each stays as long as a run has it, as its own text or as a shared one.
CREATE TABLE run_shared (
    run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    path   TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (run_id, path)
) WITHOUT ROWID;
CREATE INDEX run_of_shared ON run_shared (sha256);

DROP TRIGGER run_code_unused;
CREATE TRIGGER run_code_unused AFTER DELETE ON run
WHEN NOT EXISTS (SELECT 1 FROM run WHERE code_sha256 = old.code_sha256)
    AND NOT EXISTS (SELECT 1 FROM run_shared WHERE sha256 = old.code_sha256)
BEGIN
    DELETE FROM run_code WHERE sha256 = old.code_sha256;
END;
CREATE TRIGGER run_shared_unused AFTER DELETE ON run_shared
WHEN NOT EXISTS (SELECT 1 FROM run WHERE code_sha256 = old.sha256)
    AND NOT EXISTS (SELECT 1 FROM run_shared WHERE sha256 = old.sha256)
BEGIN
    DELETE FROM run_code WHERE sha256 = old.sha256;
END;

-- JSON: path and SHA-256 of each file of shared code that the approved text imports.
ALTER TABLE approval ADD COLUMN shared TEXT NOT NULL DEFAULT '[]';
-- JSON: their texts by path; only of a script's newest approval, like its text.
ALTER TABLE approval ADD COLUMN shared_texts TEXT;
