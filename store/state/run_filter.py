"""Which runs of the history are wanted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Every field that is not None narrows the choice. Times are seconds since the epoch."""

    name: str | None = None
    """Exactly this name."""
    part: str | None = None
    """A part of the name; capitals of ASCII count as small letters."""
    outcome: str | None = None
    actor: str | None = None
    since: float | None = None
    until: float | None = None

    def where(self, before: int | None) -> tuple[str, tuple[object, ...]]:
        """The WHERE clause, empty for none, and its values. ``before``: only runs with a smaller id."""
        terms = [
            ("id < ?", before),
            ("name = ?", self.name),
            ("instr(lower(name), lower(?)) > 0", self.part),
            ("outcome = ?", self.outcome),
            ("actor = ?", self.actor),
            # Ids grow with time: without the lower bound of the ids a look at today would read all that is older.
            ("id >= (SELECT min(id) FROM run WHERE queued_at >= ?)", self.since),
            ("queued_at >= ?", self.since),
            ("queued_at < ?", self.until),
        ]
        used = [(term, value) for term, value in terms if value is not None]
        clause = " WHERE " + " AND ".join(term for term, _ in used) if used else ""
        return clause, tuple(value for _, value in used)
