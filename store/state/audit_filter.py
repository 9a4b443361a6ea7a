"""Which records of the audit are wanted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OF_TOKENS = "token:"
"""What the name of a token's actor begins with."""

REFUSED = "refused"
"""The word by which people search for action ``denied``."""

_LIKE = "LIKE ? ESCAPE '!'"

NAMED = "CASE WHEN subject GLOB '#[0-9]*' THEN substr(subject, instr(subject, ' ') + 1) ELSE subject END"
"""What a record is about, without the number of a run: as index ``audit_by_name`` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Every field that is set narrows the choice.

    Capitals of ASCII count as small letters in ``what`` and ``text``.

    Attributes:
        who: An account or token; a token with its prefix or without it.
        what: Words or parts of them, each of which is in action, subject or detail.
        action: Exactly this action.
        subject: A script's path or whatever it is about; a run by its number, as ``#12``.
        since: Seconds since the epoch.
        until: The same.
        text: Is somewhere in the record.
    """

    who: str = ""
    what: str = ""
    action: str = ""
    subject: str = ""
    since: float | None = None
    until: float | None = None
    text: str = ""

    @property
    def scans(self) -> bool:
        """Whether no index knows what is wanted: records are read one after the other."""
        return bool(self.what.split() or self.text or self.subject.startswith("#"))

    def bounds(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Return the first and the last number that a wanted record may have; the last is less if there is none."""
        if self.since is None and self.until is None:
            first, last = connection.execute(
                "SELECT (SELECT min(seq) FROM audit), (SELECT max(seq) FROM audit)"
            ).fetchone()
        else:
            first, last = connection.execute(
                "SELECT min(seq), max(seq) FROM audit INDEXED BY audit_by_at WHERE at >= ? AND at < ?", self._span()
            ).fetchone()
        return (1, 0) if first is None else (first, last)

    def terms(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        """Yield what follows in a WHERE clause, with its values, once for each name that ``who`` may mean."""
        names: tuple[str | None, ...] = (None,)
        if who := _plain(self.who):
            names = (who,) if who.startswith(OF_TOKENS) else (who, OF_TOKENS + who)
        for name in names:
            found = self._others()
            if name is not None:
                found.insert(0, ("actor = ?", (name,)))
            yield "".join(f" AND {term}" for term, _ in found), tuple(value for _, values in found for value in values)

    def _others(self) -> list[tuple[str, tuple[object, ...]]]:
        found: list[tuple[str, tuple[object, ...]]] = []
        if self.action:
            found.append(("action = ?", (_plain(self.action),)))
        if self.subject.startswith("#"):
            found.append((f"subject {_LIKE}", (_escaped(_plain(self.subject).split()[0]) + " %",)))
        elif self.subject:
            found.append((f"{NAMED} = ?", (_plain(self.subject),)))
        if self.since is not None or self.until is not None:
            found.append(("at >= ? AND at < ?", self._span()))
        for word in self.what.split():
            plain, quoted = _patterns(word)
            places = ["action", "replace(action, '_', ' ')", "subject"]
            refused = ["action = 'denied'"] if word.lower() in REFUSED else []
            found.append((_either(places, refused), (*[plain] * len(places), quoted)))
        if self.text:
            plain, quoted = _patterns(self.text)
            places = ["actor", "source", "action", "subject"]
            found.append((_either(places), (*[plain] * len(places), quoted)))
        return found

    def _span(self) -> tuple[float, float]:
        return self.since if self.since is not None else 0.0, self.until if self.until is not None else float("inf")


def _either(places: Sequence[str], others: Sequence[str] = ()) -> str:
    """Return a term for a text that is in one of some places or in the detail."""
    return f"({' OR '.join([*(f'{place} {_LIKE}' for place in (*places, 'detail')), *others])})"


def _patterns(text: str) -> tuple[str, str]:
    """Return patterns that find a text as it stands, and in JSON of ASCII."""
    return f"%{_escaped(_plain(text))}%", f"%{_escaped(json.dumps(text)[1:-1])}%"


def _plain(text: str) -> str:
    """Return a text as it is kept: without lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
