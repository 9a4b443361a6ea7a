-- Versions of documents that were replaced, deleted or renamed, and by whom, as script_version and script_created have
-- them of scripts; one piece of code reads both, so the columns have the same names. Their bytes are in
-- .gatewright/document_history.

CREATE TABLE document_version (
    id       INTEGER PRIMARY KEY,
    -- The path of the document that it belongs to now.
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
    settled  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX document_version_of ON document_version (script, id);
CREATE INDEX document_version_bytes ON document_version (sha256);
CREATE INDEX document_version_open ON document_version (id) WHERE settled = 0;

CREATE TABLE document_created (
    script TEXT PRIMARY KEY,
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;
