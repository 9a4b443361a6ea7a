-- Files of the bundle that were put into this project. Whether one was edited since is told by its hash.

CREATE TABLE default_script (
    -- Relative to the project's root: default scripts, and the sample data that they read.
    path        TEXT PRIMARY KEY,
    -- Of the bundle whose text this is; 0 is one before versions were counted.
    version     INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    -- The newer text that somebody declined: it is not offered again.
    kept_sha256 TEXT
) WITHOUT ROWID;
