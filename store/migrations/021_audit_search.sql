-- Audit records by who, what, when, and by what they are about: a run without its number.

CREATE INDEX audit_by_actor ON audit (actor);
CREATE INDEX audit_by_action ON audit (action);
CREATE INDEX audit_by_at ON audit (at);
CREATE INDEX audit_by_name ON audit (
    CASE WHEN subject GLOB '#[0-9]*' THEN substr(subject, instr(subject, ' ') + 1) ELSE subject END
);
