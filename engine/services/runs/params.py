"""A script's declared parameters: from what a client sent to what the script gets.

Clients send typed JSON or, from a command line, text. Both become the declared type or one sentence that names the
parameter.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.models.scripts import ParamInfo, ParamType
from engine.services.access import ServiceError

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

_EXAMPLES = {ParamType.INT: "5", ParamType.FLOAT: "0.5", ParamType.BOOL: "true", ParamType.LIST: "a,b"}


class _UnfitError(Exception):
    """The value cannot become the declared type."""


def bind(declared: Sequence[ParamInfo], given: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Values for every declared parameter that is not a file, defaults filled in.

    A script without declared parameters takes whatever it is given.

    Args:
        declared: The parameters of the script's frontmatter.
        given: Values by name.
        files: Names of the parameters that come as uploaded files.

    Raises:
        ServiceError: ``bad_params`` for an unknown name, a missing value or one of the wrong type.
    """
    if not declared:
        return dict(given)
    by_name = {param.name: param for param in declared}
    _refuse_unknown(by_name, [*given, *files])
    values: dict[str, Any] = {}
    for param in declared:
        if param.type is ParamType.FILE:
            _check_file(param, given, files)
        elif param.name in given:
            values[param.name] = convert(param, given[param.name])
        elif param.required:
            raise _bad(f"The parameter {param.name!r} ({param.type}) is missing.", _how_to_give(param, declared))
        else:
            values[param.name] = param.default
    return values


def convert(param: ParamInfo, value: object) -> object:
    """``value`` as the type that ``param`` declares.

    Raises:
        ServiceError: ``bad_params``.
    """
    try:
        return _CONVERT[param.type](param, value)
    except _UnfitError as reason:
        given = "; what it was given is secret and not shown" if param.secret else f", not {_short(value)}"
        raise _bad(f"The parameter {param.name!r} takes {reason}{given}.") from None


def _check_file(param: ParamInfo, given: Mapping[str, Any], files: Mapping[str, str]) -> None:
    if param.name in given:
        raise _bad(
            f"The parameter {param.name!r} is a file.", f"Hand it over with --file {param.name}=PATH, or upload it."
        )
    if param.name not in files and param.required:
        raise _bad(f"The parameter {param.name!r} (file) is missing.", f"Hand it over with --file {param.name}=PATH.")


def _refuse_unknown(by_name: Mapping[str, ParamInfo], names: Sequence[str]) -> None:
    for name in names:
        if name not in by_name:
            raise _bad(f"This script has no parameter {name!r}.", _usage(list(by_name.values())))


def _bad(message: str, hint: str | None = None) -> ServiceError:
    return ServiceError("bad_params", message, hint=hint)


def _usage(declared: Sequence[ParamInfo]) -> str:
    return "It takes " + ", ".join(f"{p.name} ({p.type}{'' if p.required else ', optional'})" for p in declared) + "."


def _how_to_give(param: ParamInfo, declared: Sequence[ParamInfo]) -> str:
    if param.secret:
        return f"-p {param.name} asks for it without showing it, --param-file {param.name}=PATH reads it from a file."
    example = shlex.quote(param.choices[0]) if param.choices else _EXAMPLES.get(param.type, "TEXT")
    return f"Give it, such as -p {param.name}={example}. {_usage(declared)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _to_str(_: ParamInfo, value: object) -> str:
    if isinstance(value, str):
        return value
    raise _UnfitError("text")


def _to_int(_: ParamInfo, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise _UnfitError("a whole number")


def _to_float(_: ParamInfo, value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise _UnfitError("a finite number")


def _to_bool(_: ParamInfo, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise _UnfitError("true or false")


def _to_list(_: ParamInfo, value: object) -> list[object]:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    raise _UnfitError("a list, or text with commas")


def _to_choice(param: ParamInfo, value: object) -> str:
    if isinstance(value, str) and value in param.choices:
        return value
    raise _UnfitError("one of " + ", ".join(param.choices))


_CONVERT: dict[ParamType, Callable[[ParamInfo, object], object]] = {
    ParamType.STR: _to_str,
    ParamType.INT: _to_int,
    ParamType.FLOAT: _to_float,
    ParamType.BOOL: _to_bool,
    ParamType.LIST: _to_list,
    ParamType.CHOICE: _to_choice,
}
