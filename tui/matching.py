"""Which entries match what the user typed, best first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def best_matches(query: str, items: Iterable[T], text_of: Callable[[T], str]) -> list[T]:
    """The items whose text has the query's characters in order, best first: one piece before scattered letters.

    An empty query keeps all items in their order.
    """
    letters = [re.escape(character) for character in query.casefold() if not character.isspace()]
    if not letters:
        return list(items)
    pattern = re.compile(".*?".join(letters), re.DOTALL)
    plain = query.casefold().strip()
    scored = []
    for index, item in enumerate(items):
        text = text_of(item).casefold()
        found = pattern.search(text)
        if found is not None:
            scored.append((_cost(plain, text, found), index, item))
    scored.sort(key=lambda entry: entry[:2])
    return [item for *_, item in scored]


def _cost(plain: str, text: str, found: re.Match[str]) -> tuple[int, int, int]:
    """Lower is better: the query in one piece, at the start of a word, in a short text."""
    at = text.find(plain)
    if at < 0:
        return (2, found.end() - found.start(), len(text))
    at_word = at == 0 or not text[at - 1].isalnum()
    return (0 if at_word else 1, at, len(text))
