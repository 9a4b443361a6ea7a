-- Differences that somebody looked at and wants to keep: scripts that are alike, and are meant to be.

CREATE TABLE kept_difference (
    -- Hash of what was alike and of all the paths: any other set of scripts is another difference.
    fingerprint TEXT PRIMARY KEY,
    uid         INTEGER NOT NULL,
    name        TEXT NOT NULL,
    at          REAL NOT NULL
) WITHOUT ROWID;
