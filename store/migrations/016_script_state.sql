-- What scripts keep from one run to the next, key by key.
CREATE TABLE script_state (
    -- Raised by every write of every script and never given out twice: tells whether a value is still the one that was
    -- read.
    version    INTEGER PRIMARY KEY AUTOINCREMENT,
    script     TEXT NOT NULL,
    key        TEXT NOT NULL,
    -- JSON.
    value      TEXT NOT NULL,
    -- Bytes of key and value in UTF-8.
    size       INTEGER NOT NULL,
    changed_at REAL NOT NULL,
    changed_by TEXT NOT NULL,
    UNIQUE (script, key)
) STRICT;
