"""What is typed to search the audit: ``who:alice action:save since:today report``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from engine.registry.engine import AuditParams
from tui.text.run_query import BadSearch, moment, query_words


def parse_audit_search(text: str, now: float | None = None) -> AuditParams:
    """Return the search that ``text`` means. Words without a key are wanted in action, subject or detail, all of them.

    Raises:
        BadSearch: A key or a value means nothing.
    """
    found, loose = AuditParams(), []
    for word in query_words(text):
        key, colon, value = word.partition(":")
        if not colon:
            loose.append(word)
        elif key not in _KEYS:
            raise BadSearch(f"There is no {key}: in a search; there are {', '.join(f'{name}:' for name in _KEYS)}.")
        elif value:  # else it is still being typed
            found = _KEYS[key](found, value, time.time() if now is None else now)
    return replace(found, what=" ".join(filter(None, (found.what, *loose))))


_KEYS: Mapping[str, Callable[[AuditParams, str, float], AuditParams]] = MappingProxyType(
    {
        "who": lambda search, value, _: replace(search, who=value),
        "what": lambda search, value, _: replace(search, what=f"{search.what} {value}".strip()),
        "action": lambda search, value, _: replace(search, action=value),
        "subject": lambda search, value, _: replace(search, subject=value),
        "since": lambda search, value, now: replace(search, since=moment(value, now)),
        "until": lambda search, value, now: replace(search, until=moment(value, now)),
        "text": lambda search, value, _: replace(search, text=value),
    }
)
