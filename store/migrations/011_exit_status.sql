-- What a shell would have seen of the end of a run's script; NULL where it came to no end of its own.

ALTER TABLE run ADD COLUMN exit_status INTEGER;
