-- Who the commits of each account are by; asked for once.

CREATE TABLE git_author (
    uid    INTEGER PRIMARY KEY,
    name   TEXT NOT NULL,
    email  TEXT NOT NULL,
    set_at REAL NOT NULL
);
