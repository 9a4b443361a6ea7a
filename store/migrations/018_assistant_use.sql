-- What was asked of the assistant, day by day, so that a budget outlives the engine.
CREATE TABLE assistant_use (
    -- Of this host's calendar, ISO 8601.
    day      TEXT NOT NULL,
    -- A script's path, or "caller:" and the name of who asked without one.
    asker    TEXT NOT NULL,
    requests INTEGER NOT NULL,
    -- Bytes of the texts that were sent and that came back.
    sent     INTEGER NOT NULL,
    received INTEGER NOT NULL,
    PRIMARY KEY (day, asker)
) STRICT, WITHOUT ROWID;
