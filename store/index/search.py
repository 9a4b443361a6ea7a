"""Full-text search over ``index.db``: name, title, tags and body of every script.

Words are found without regard to case and accents, the last one also by its beginning, and a word such as ``read_csv``
as ``read`` followed by ``csv``. Scripts that have all of them in name, title and tags come first.

Tokens, not trigrams: of 10,000 scripts, 19 MB, the index takes 9 MB and 0.3 s to build, by trigrams 126 MB and 4.3 s.
There is no ranking by frequency either: it looks at every match before it gives out the first one, and the words of
code are in nearly every script.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MAX_WORDS = 10
SHORTEST_BEGINNING = 3
"""Characters of a word that is looked for by its beginning: one or two letters begin words of every script."""
MAX_LINE = 200
"""Characters of the line that is shown."""

TERMS_AT_ONCE = 4
"""Words with the same beginning that are looked for together."""

_WORD = re.compile(r"[^\W_]+")
_SPECIAL = re.compile(r"[%_\\]")

_IN_HEAD = "{path title tags} : "
_MATCH = """
    SELECT rowid FROM script_search WHERE script_search MATCH ? LIMIT ?
"""
_TERMS = "SELECT term FROM script_term WHERE term > ? AND term < ?"
_TEXTS = "SELECT id, path, title, tags, body FROM script_text WHERE id IN ({marks})"
_PLAIN = "SELECT id FROM script_text WHERE {where} ORDER BY path LIMIT ?"
_IN_TEXT = r"path || ' ' || title || ' ' || tags || ' ' || body LIKE ? ESCAPE '\'"


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A script that was found. ``line`` is where its text has one of the words, from 1; 0 when its text has none."""

    path: str
    title: str
    line: int = 0
    text: str = ""


def search(text: str, limit: int, connection: sqlite3.Connection, *, full_text: bool) -> list[SearchHit]:
    """Up to ``limit`` scripts with every word of ``text``, the last one perhaps only begun; the best places first."""
    # What UTF-8 cannot carry is in no script, and SQLite's texts end at a NUL.
    words = text.encode("utf-8", "ignore").decode().replace("\0", " ").split()[:MAX_WORDS]
    if not words or limit < 1:
        return []
    tokens = [word for word in words if _WORD.search(word)]
    # Operators alone are no words.
    found = _by_index(tokens, limit, connection) if full_text and tokens else _by_looking(words, limit, connection)
    rows = connection.execute(_TEXTS.format(marks=", ".join("?" * len(found))), found)
    by_number = {number: text for number, *text in rows}
    texts = [by_number[number] for number in found]
    texts.sort(key=lambda text: not _is_in_head(tokens, text))
    return [_found(path, title, body, tokens or words) for path, title, _, body in texts]


def _by_index(words: list[str], limit: int, connection: sqlite3.Connection) -> list[int]:
    """Numbers of scripts: whole words before beginnings; of too many those that have them in name, title and tags."""
    found: dict[int, None] = {}
    for query in _queries(words, connection):
        # Those found so far may be found again.
        matches = _match(query, limit + len(found), connection)
        if len(matches) >= limit:
            found |= _match(f"{_IN_HEAD}({query})", limit, connection)
        found |= matches
        if len(found) >= limit:
            break
    return list(found)[:limit]


def _queries(words: list[str], connection: sqlite3.Connection) -> Iterator[str]:
    """All words as they are; then with one word after another that begins as the last one does.

    FTS5's own prefix query reads everything that any such word is in before it gives out the first one.
    """
    yield " ".join(map(_quoted, words))
    parts = _WORD.findall(_without_accents(words[-1]))
    if not parts or len(words[-1]) < SHORTEST_BEGINNING:
        return
    *before, beginning = parts
    others = "".join(f"{_quoted(word)} AND " for word in words[:-1])
    terms = connection.execute(_TERMS, (beginning, f"{beginning}\U0010ffff"))
    # A few at a time: SQLite reads all that a word is in before it names the word.
    while some := terms.fetchmany(TERMS_AT_ONCE):
        phrases = (_quoted(" ".join([*before, term])) for (term,) in some)
        yield f"{others}({' OR '.join(phrases)})"


def _without_accents(word: str) -> str:
    """As the index keeps words (unicode61 with remove_diacritics)."""
    return "".join(one for one in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(one))


def _match(query: str, limit: int, connection: sqlite3.Connection) -> dict[int, None]:
    return dict.fromkeys(number for (number,) in connection.execute(_MATCH, (query, limit)))


def _is_in_head(words: list[str], text: list[str]) -> bool:
    head = " ".join(text[:3]).lower()
    return all(word.lower() in head for word in words)


def _by_looking(words: list[str], limit: int, connection: sqlite3.Connection) -> list[int]:
    """Without an index of words: every text is looked through."""
    query = _PLAIN.format(where=" AND ".join(_IN_TEXT for _ in words))
    patterns = ["%" + _SPECIAL.sub(r"\\\g<0>", word) + "%" for word in words]
    return [number for (number,) in connection.execute(query, (*patterns, limit))]


def _found(path: str, title: str, body: str, words: list[str]) -> SearchHit:
    folded = body.lower()
    places = [place for word in words if (place := folded.find(word.lower())) >= 0]
    # Few letters become two when they are lowered; then it is a place near by.
    if not places or min(places) >= len(body):
        return SearchHit(path, title)
    place = min(places)
    start = body.rfind("\n", 0, place) + 1
    end = body.find("\n", place)
    line = body[start : end if end >= 0 else len(body)].strip()
    return SearchHit(path, title, body.count("\n", 0, place) + 1, line[:MAX_LINE])


def _quoted(word: str) -> str:
    """As a string of FTS5's query language, in which nothing has a meaning."""
    return '"' + word.replace('"', '""') + '"'
