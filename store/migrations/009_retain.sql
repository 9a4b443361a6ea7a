-- What a run left unrecorded, and why.

ALTER TABLE run ADD COLUMN unrecorded TEXT;
