"""Find what a text imports of the shared code, without parsing it: a scan that takes a time linear in its length.

It may find more than is imported: what stands in a comment or a text. It finds every import statement, and every name
of a module of ``lib`` that is written whole between quotes, for ``importlib.import_module``. A name that is put
together while the script runs is not found; such a module is not there for the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LIB = "lib"
"""The folder below ``scripts``, and the package that it is to scripts."""

# Every repetition is possessive, and what was looked at is not looked at again: hence linear.
_GAP = r"(?:[ \t\f]|\\\r?\n)*+"
_DOTTED = rf"(?!import\b)\w++(?:{_GAP}\.{_GAP}\w++)*+"
_START = re.compile(rf"""\b(?:from|import)\b|(["']){LIB}(?:\.\w++)*+\1""")
_FROM = re.compile(rf"{_GAP}(?P<dots>(?:\.{_GAP})*+)(?P<module>(?:{_DOTTED})?+){_GAP}")
_IMPORT = re.compile(r"import\b")
_MODULE = re.compile(rf"{_GAP}(?P<module>{_DOTTED})(?:{_GAP}\bas\b{_GAP}\w++)?+{_GAP}(?P<more>,?)")
_NAME = re.compile(rf"{_GAP}(?P<name>\w++|\*)(?:{_GAP}\bas\b{_GAP}\w++)?+{_GAP}(?P<more>,?)")
_OPEN = re.compile(rf"{_GAP}\(")
_BLANK = re.compile(r"(?:\s|\\|#[^\n]*)*+")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A module that a text names, with the names that it takes from it: each may be a module, too."""

    module: str
    names: tuple[str, ...] = ()


def wanted(text: str, package: str = "") -> list[Wanted]:
    """Return what ``text`` imports below ``lib``.

    Args:
        text: A script, or a file of the shared code.
        package: Of such a file: what relative imports begin at.
    """
    if not package and LIB not in text:
        return []
    return list(dict.fromkeys(_wanted(text, package)))


def _wanted(text: str, package: str) -> Iterator[Wanted]:
    place = 0
    while (found := _START.search(text, place)) is not None:
        place = found.end()
        if found[0] == "import":
            more = True
            while more and (one := _MODULE.match(text, place)) is not None:
                place, more = one.end(), bool(one["more"])
                if _is_shared(module := _plain(one["module"])):
                    yield Wanted(module)
        elif found[0] != "from":
            yield Wanted(found[0][1:-1])
        elif (head := _FROM.match(text, place)) is not None:
            place = head.end()
            if (statement := _IMPORT.match(text, place)) is None:
                continue
            names, place = _names(text, statement.end())
            origin = _absolute(head["dots"].count("."), _plain(head["module"]), package)
            if origin is not None and _is_shared(origin):
                yield Wanted(origin, names)


def _names(text: str, place: int) -> tuple[tuple[str, ...], int]:
    """The names after ``from … import``, and where they end."""
    names: list[str] = []
    opened = _OPEN.match(text, place)
    if opened is None:
        more = True
        while more and (one := _NAME.match(text, place)) is not None:
            place, more = one.end(), bool(one["more"])
            names.append(one["name"])
        return tuple(names), place
    place = opened.end()
    while True:
        place = _end(_BLANK, text, place)
        if (word := _WORD.match(text, place)) is not None:
            names.append(word[0])
            place = word.end()
        elif text.startswith(",", place):
            place += 1
        else:
            return tuple(names), place


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return place if found is None else found.end()


def _plain(dotted: str) -> str:
    return re.sub(r"[\s\\]", "", dotted)


def _is_shared(module: str) -> bool:
    return module == LIB or module.startswith(LIB + ".")


def _absolute(level: int, module: str, package: str) -> str | None:
    """The absolute name of what an import statement names; None if it is relative to nothing (PEP 328)."""
    if not level:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return None
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
