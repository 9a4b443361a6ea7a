-- Tokens: who may call without an account of this host. Of a token's secret there is only its hash.

CREATE TABLE token (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    -- SHA-256 of the secret, hexadecimal.
    sha256       TEXT NOT NULL,
    role         TEXT NOT NULL,
    default_mode TEXT NOT NULL,
    -- JSON: patterns of script paths; an empty list means every script.
    scripts      TEXT NOT NULL,
    created_at   REAL NOT NULL,
    created_by   TEXT NOT NULL,
    -- NULL: it counts until it is revoked.
    expires_at   REAL,
    revoked_at   REAL,
    -- Written rarely; NULL as long as it was never used.
    last_used_at REAL
) WITHOUT ROWID;

-- Commits by a token have an author of their own, and a token has no uid: accounts are "uid:N" now, tokens "token:ID".
CREATE TABLE caller_author (
    caller TEXT PRIMARY KEY,
    name   TEXT NOT NULL,
    email  TEXT NOT NULL,
    set_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO caller_author (caller, name, email, set_at) SELECT 'uid:' || uid, name, email, set_at FROM git_author;
DROP TABLE git_author;
