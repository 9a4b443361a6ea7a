-- Versions of scripts that were replaced, deleted or renamed, and by whom. Their bytes are in .gatewright/history.

CREATE TABLE script_version (
    id       INTEGER PRIMARY KEY,
    -- The path it belongs to now: a renamed script takes its history along.
    script   TEXT NOT NULL,
    -- The path that it had.
    path     TEXT NOT NULL,
    new_path TEXT,
    sha256   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    reason   TEXT NOT NULL CHECK (reason IN ('saved', 'deleted', 'renamed', 'restored', 'conflict')),
    uid      INTEGER NOT NULL,
    name     TEXT NOT NULL,
    at       REAL NOT NULL,
    -- Announced before the file is touched, settled after it: what a crash leaves open is decided at the next start.
    settled  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX script_version_of ON script_version (script, id);
CREATE INDEX script_version_bytes ON script_version (sha256);
CREATE INDEX script_version_open ON script_version (id) WHERE settled = 0;
