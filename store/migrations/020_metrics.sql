-- Figures of runs over time. Durations and waits are in microseconds, and times are seconds since the epoch.

CREATE TABLE metric_span (
    -- Seconds of a span, and when it began. What is in a minute is in longer spans, too.
    step            INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    total           INTEGER NOT NULL,
    successful      INTEGER NOT NULL,
    cancelled       INTEGER NOT NULL,
    -- Runs with a duration: those that began and were not cancelled.
    timed           INTEGER NOT NULL,
    duration        INTEGER NOT NULL,
    shortest        INTEGER,
    longest         INTEGER,
    -- Pairs of 32 bits, little-endian: a bin and how many durations are in it.
    durations       BLOB NOT NULL,
    contended       INTEGER NOT NULL,
    waits           INTEGER NOT NULL,
    waited          INTEGER NOT NULL,
    longest_wait    INTEGER,
    waits_timed_out INTEGER NOT NULL,
    -- Seconds of slots: with a run, and all that there were.
    busy            REAL NOT NULL,
    slots           REAL NOT NULL,
    size            INTEGER NOT NULL,
    -- Of how many minutes the averages of the processors and the load are; NULL where that was not read.
    samples         INTEGER NOT NULL,
    engine_cpu      REAL,
    engine_memory   INTEGER,
    gateway_cpu     REAL,
    gateway_memory  INTEGER,
    load            REAL,
    PRIMARY KEY (step, at)
) STRICT, WITHOUT ROWID;

-- The same runs by script, by caller and by kind of failure.
CREATE TABLE metric_group (
    kind       TEXT NOT NULL CHECK (kind IN ('script', 'caller', 'error')),
    step       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    name       TEXT NOT NULL,
    total      INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    cancelled  INTEGER NOT NULL,
    -- JSON: failures by their kind.
    errors     TEXT NOT NULL,
    timed      INTEGER NOT NULL,
    duration   INTEGER NOT NULL,
    shortest   INTEGER,
    longest    INTEGER,
    durations  BLOB NOT NULL,
    last_at    REAL NOT NULL,
    PRIMARY KEY (kind, step, at, name)
) STRICT, WITHOUT ROWID;

-- Up to which end of a run everything is counted in these tables: what ended later is counted from the records.
CREATE TABLE metric_through (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL
) STRICT;
