-- What administrators decided about the packages that scripts ask for in their headers (PEP 723).
CREATE TABLE environment_approval (
    id            INTEGER PRIMARY KEY,
    -- SHA-256 of the sorted requirements and requires-python: scripts that ask for the same share the decision.
    request       TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('approved', 'refused')),
    -- JSON: what was asked for, as it was judged.
    requirements  TEXT NOT NULL,
    python        TEXT NOT NULL,
    -- pylock.toml (PEP 751) and its SHA-256; JSON: the packages in it. Empty for a refusal.
    lock          TEXT NOT NULL,
    lock_sha256   TEXT NOT NULL,
    packages      TEXT NOT NULL,
    -- Of the interpreter that it was resolved for, such as 3.12.3.
    version       TEXT NOT NULL,
    -- Whose script was looked at.
    script        TEXT NOT NULL,
    uid           INTEGER NOT NULL,
    name          TEXT NOT NULL,
    decided_at    REAL NOT NULL,
    -- NULL for the decision that counts; every request has one at most.
    superseded_at REAL
) STRICT;

CREATE UNIQUE INDEX environment_approval_in_force ON environment_approval (request) WHERE superseded_at IS NULL;
