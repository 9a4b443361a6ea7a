"""Parameters of a tag: from what is written to typed values.

Quoted is always text. Unquoted and wholly numeric is a number by its form, anything else unquoted is text. A parameter
that the macro declares in its header becomes the declared type, from what is written: ``version=1.10`` is ``"1.10"``
where the header says ``str``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.models.scripts import ParamInfo, ParamType
from engine.services.access import ServiceError
from engine.services.runs.params import convert

LONGEST_NUMBER = 4300
"""Digits. ``int()`` refuses to read more (``sys.int_info.default_max_str_digits``), so they stay text."""

_FIRST = frozenset("-0123456789")
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+")
_ESCAPED = re.compile(r"""\\([\\"'])""")


def unquoted(text: str) -> str | int | float:
    """Return the value of what is written without quotes.

    ``-?(0|[1-9][0-9]*)`` is an int, ``-?[0-9]+\\.[0-9]+`` a float; ``007``, ``1e3``, ``nan``, ``true`` and
    ``2024-05-01`` are text. So are numbers that Python cannot read or JSON cannot carry: more than ``LONGEST_NUMBER``
    digits, or a float beyond the largest one.
    """
    if text[:1] in _FIRST and len(text) <= LONGEST_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text


def quoted(text: str) -> str:
    r"""Return the value of what is written between two quotes.

    A backslash makes a quote or a backslash after it an ordinary character. Before anything else it is one itself, so
    ``"C:\temp"`` needs no care.
    """
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def normalised(name: str) -> str:
    """Return the form in which names are compared: lower case, ``_`` for ``-``."""
    return name.lower().replace("-", "_")


def declared(
    params: Mapping[str, Any], declared: Sequence[ParamInfo], texts: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Convert a tag's parameters to the types that the macro's header declares.

    Names are compared as macro names are. Defaults are filled in, also for a value that does not fit. A macro that
    declares nothing takes whatever the tag gives.

    Args:
        params: ``Tag.params``.
        declared: The parameters of the header.
        texts: ``Tag.texts``; without it numbers lose the form in which they were written (``1.10`` becomes ``1.1``).

    Returns:
        The values by declared name, and a sentence for everything that does not fit.
    """
    if not declared:
        return dict(params), []
    given: dict[str, str] = {}
    problems: list[str] = []
    for name in params:
        if normalised(name) in given:
            problems.append(f"The parameter {name!r} is given twice.")
        given.setdefault(normalised(name), name)
    values: dict[str, Any] = {}
    for param in declared:
        if not param.required:
            values[param.name] = param.default
        if name := given.pop(normalised(param.name), ""):
            try:
                values[param.name] = _converted(param, (texts or {}).get(name, params[name]))
            except ServiceError as error:
                problems.append(error.message)
        elif param.required:
            problems.append(f"The parameter {param.name!r} ({param.type}) is missing.")
    takes = ", ".join(f"{param.name} ({param.type})" for param in declared)
    problems.extend(f"There is no parameter {name!r}; it takes {takes}." for name in given.values())
    return values, problems


def _converted(param: ParamInfo, written: object) -> object:
    if param.type is ParamType.FILE:
        raise ServiceError("bad_params", f"The parameter {param.name!r} is a file, which a tag cannot hand over.")
    return convert(param, str(written))
