"""The audit's hash chain: what a record's hash is made of, and the first record that does not fit. It opens nothing.

A record's hash is the SHA-256 of the JSON list of all its other fields, the hash of the record before it being the last
of them: ASCII only, no spaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from json.encoder import encode_basestring_ascii as quoted

BEGINNING = "0" * 64
"""What the first record has for the hash of the one before it."""

NEAR = 10_000
"""Places on either side at which a record is tried that does not fit where it stands."""

MOST_TRIED = 1 << 26
"""Characters that are hashed for that: a record of many is tried at fewer places."""

Record = tuple[int, float, str, int, str, str, str, str, str, str]
"""Number, time, actor, uid, source, action, subject, detail, hash of the record before, hash."""


def digest(
    seq: int, at: float, actor: str, uid: int, source: str, action: str, subject: str, detail: str, previous: str
) -> str:
    """Return the hash that a record must have.

    Raises:
        TypeError: Some text of it is none.
    """
    text = (
        f"[{seq!r},{at!r},{quoted(actor)},{uid!r},{quoted(source)},{quoted(action)},{quoted(subject)},{quoted(detail)},"
        f"{quoted(previous)}]"
    )
    return hashlib.sha256(text.encode()).hexdigest()


class ChainWalk:
    """Follows a chain record by record, and says at which one it breaks.

    Attributes:
        seq: Number of the last record that fits.
        previous: Its hash; None before the first one of a chain whose beginning is not at hand.
    """

    def __init__(self, seq: int = 0, previous: str | None = BEGINNING) -> None:
        self.seq = seq
        self.previous = previous

    def look(self, records: Sequence[Record], until: int | None = None) -> str | None:
        """Go on over the records that follow, and return a sentence about the first one that does not fit.

        Args:
            until: The last of them that there has to be.
        """
        seq, previous = self.seq, self.previous
        for record in records:
            seq += 1
            if record[0] != seq:
                return _misplaced(seq, record[0], {one[0] for one in records})
            if (previous is not None and record[8] != previous) or not _intact(record):
                return _unfit(record)
            previous = record[9]
            self.seq, self.previous = seq, previous
        if until is not None and seq < until:
            return missing(seq + 1, until)
        return None


def missing(first: int, last: int) -> str:
    """Say which records are missing."""
    return f"Audit record {first} is missing." if first == last else f"Audit records {first} to {last} are missing."


def _intact(record: Record) -> bool:
    try:
        return record[9] == digest(*record[:9])
    except TypeError:
        return False


def _misplaced(expected: int, found: int, numbers: Collection[int]) -> str:
    if found > expected and expected not in numbers:
        return missing(expected, found - 1)
    return f"Audit record {expected} is not in its place: record {found} stands there."


def _unfit(record: Record) -> str:
    """Say of a record that does not follow from the one before it whether it was changed, moved, or follows another."""
    seq = record[0]
    if _intact(record):
        if seq == 1:
            return "Audit record 1 is not the first one of its chain: records before it were removed."
        return f"Audit record {seq - 1} was replaced: record {seq} follows from another one."
    length = sum(len(text) for text in record if isinstance(text, str))
    near = min(NEAR, MOST_TRIED // (2 * max(1, length)))
    for place in range(max(1, seq - near), seq + near):
        if _intact((place, *record[1:])):
            return f"Audit record {seq} is not in its place: record {place} stands there."
    return f"Audit record {seq} was changed."
