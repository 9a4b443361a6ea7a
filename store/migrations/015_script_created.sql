-- When a script was made, or the earliest that was known of it when it was first replaced. Its versions do not say that:
-- each has the time at which it was replaced, and the oldest ones are forgotten.
CREATE TABLE script_created (
    script TEXT PRIMARY KEY,
    at     REAL NOT NULL
) STRICT, WITHOUT ROWID;
