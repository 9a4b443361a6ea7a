"""The keys that a header can have, and what is said of others.

Others are kept: another version may know them. They have no effect, so nobody who mistyped one should have to find that
out alone. Only the keys beside other tools' tables are looked at, never what is in those.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from store.frontmatter.toml_spans import Path

OWN: Path = ("tool", "gatewright")
TOP = ("requires-python", "dependencies")
PLAIN = ("title", "description", "kind", "entrypoint", "enabled", "tags", "preload", "environment", "leave_processes")
STATED = ("author", "version")
"""What a script says to people only: other tools show and set it."""
LIMITS = ("timeout", "memory", "output", "result", "scratch", "open_files", "parallel", "output_stop")
PERMISSIONS = ("read", "write", "secrets", "assistant")
OF_PARAM = ("type", "default", "help", "choices", "required", "secret")
TABLES = ("params", "limits", "permissions")

MAX_TOLD = 20
"""Keys of one header."""
MAX_COMPARED = 40
"""Characters of a key that is compared with those that there are; longer ones are near to none."""

_IN_ROOT = frozenset({*TOP, "tool"})
_IN_OWN = frozenset({*PLAIN, *STATED, *TABLES})
_IN_LIMITS = frozenset(LIMITS)
_IN_PARAM = frozenset(OF_PARAM)

_PLACES: dict[str, str] = {
    **dict.fromkeys(OF_PARAM, "under [tool.gatewright.params.NAME]"),
    **dict.fromkeys(PERMISSIONS, "under [tool.gatewright.permissions]"),
    **dict.fromkeys(LIMITS, "under [tool.gatewright.limits]"),
    **dict.fromkeys((*PLAIN, *TABLES), "under [tool.gatewright]"),
    **dict.fromkeys(TOP, "at the top of the header, above [tool.gatewright]"),
}


class UnknownKey(NamedTuple):
    """A key that has no effect.

    Attributes:
        path: Where it stands in the document.
        meant: What its author will have meant, as the end of a sentence; empty where nothing is like it.
    """

    path: Path
    meant: str


def unknown_keys(document: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[UnknownKey, ...]:
    """Find the keys without effect in the document and in ``own``, its ``[tool.gatewright]``; at most ``MAX_TOLD``.

    Of the document's own keys only those that are like one of a header: it may be other tools' place, too. A permission
    that there is not is refused elsewhere.
    """
    params = own.get("params")
    if (
        document.keys() <= _IN_ROOT
        and own.keys() <= _IN_OWN
        and _table(own, "limits").keys() <= _IN_LIMITS
        and (
            not isinstance(params, Mapping)
            or all(spec.keys() <= _IN_PARAM for spec in params.values() if isinstance(spec, Mapping))
        )
    ):
        return ()
    return tuple(islice(_unknown(document, own), MAX_TOLD))


def _unknown(document: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[UnknownKey]:
    for found in _strays((), document, _IN_ROOT):
        if found.meant:
            yield found
    yield from _strays(OWN, own, _IN_OWN)
    yield from _strays((*OWN, "limits"), _table(own, "limits"), _IN_LIMITS)
    for name, spec in _table(own, "params").items():
        if isinstance(spec, Mapping):
            yield from _strays((*OWN, "params", name), spec, _IN_PARAM)


def _strays(place: Path, table: Mapping[str, Any], known: frozenset[str]) -> Iterator[UnknownKey]:
    return (UnknownKey((*place, key), _meant(key, known)) for key in table if key not in known)


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = table.get(name)
    return found if isinstance(found, Mapping) else {}


@functools.lru_cache(maxsize=1024)
def _meant(key: str, known: frozenset[str]) -> str:
    if (place := _PLACES.get(key)) is not None:
        return f"{key} belongs {place}"
    if len(key) > MAX_COMPARED:
        return ""
    near = difflib.get_close_matches(key.lower(), sorted(known - {"tool"}), n=1, cutoff=0.7)
    if near:
        return f"did you mean {near[0]}?"
    near = difflib.get_close_matches(key.lower(), _PLACES, n=1, cutoff=0.8)
    return f"did you mean {near[0]}? It belongs {_PLACES[near[0]]}" if near else ""
