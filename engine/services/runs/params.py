"""A script's declared parameters: from what a client sent to what the script gets.

Clients send typed JSON or, from a command line, text. Both become the declared type or one sentence that names the
parameter.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.models.scripts import ParamInfo, ParamType
from engine.services.access import ServiceError

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

_EXAMPLES: dict[ParamType, tuple[str, object]] = {
    ParamType.INT: ("5", 5),
    ParamType.FLOAT: ("0.5", 0.5),
    ParamType.BOOL: ("true", True),
    ParamType.LIST: ("a,b", ["a", "b"]),
}
"""On a command line, and as a value of JSON."""


@dataclass(frozen=True, slots=True)
class CallMade:
    """How a script was called, for the sentence about a parameter that is missing.

    Attributes:
        cli: On a command line, else by a program.
        kwargs: Names of keyword arguments, which reach the script as ``kwargs``.
        args: Number of positional arguments, which reach it as ``args``.
    """

    cli: bool = False
    kwargs: Sequence[str] = ()
    args: int = 0


class _UnfitError(Exception):
    """The value cannot become the declared type."""


def bind(
    declared: Sequence[ParamInfo],
    given: Mapping[str, Any],
    files: Mapping[str, str],
    call: CallMade = CallMade(),
) -> dict[str, Any]:
    """Values for every declared parameter that is not a file, defaults filled in.

    A script without declared parameters takes whatever it is given.

    Args:
        declared: The parameters of the script's frontmatter.
        given: Values by name.
        files: Names of the parameters that come as uploaded files.
        call: How the script was called.

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
            _check_file(param, given, files, call)
        elif param.name in given:
            values[param.name] = convert(param, given[param.name])
        elif param.required:
            raise _bad(f"The parameter {param.name!r} ({param.type}) is missing.", _how_to_give(param, declared, call))
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


def _check_file(param: ParamInfo, given: Mapping[str, Any], files: Mapping[str, str], call: CallMade) -> None:
    by_id = f'Upload it, and give its id in files: {{"{param.name}": "ID"}}.'
    how = f"Hand it over with --file {param.name}=PATH." if call.cli else by_id
    if param.name in given:
        raise _bad(f"The parameter {param.name!r} is a file.", how)
    if param.name not in files and param.required:
        about = f"It is {param.help.rstrip('.')}." if call.cli and param.help else None
        raise _bad(f"The parameter {param.name!r} (file) is missing.", " ".join(filter(None, (how, about))))


def _refuse_unknown(by_name: Mapping[str, ParamInfo], names: Sequence[str]) -> None:
    for name in names:
        if name not in by_name:
            raise _bad(f"This script has no parameter {name!r}.", _usage(list(by_name.values())))


def _bad(message: str, hint: str | None = None) -> ServiceError:
    return ServiceError("bad_params", message, hint=hint)


def _usage(declared: Sequence[ParamInfo]) -> str:
    return "It takes " + ", ".join(f"{p.name} ({p.type}{'' if p.required else ', optional'})" for p in declared) + "."


def _how_to_give(param: ParamInfo, declared: Sequence[ParamInfo], call: CallMade) -> str:
    """Say how a missing value is given, after what was given in its place."""
    if call.cli and param.secret:
        return f"-p {param.name} asks for it without showing it, --param-file {param.name}=PATH reads it from a file."
    text, value = _EXAMPLES.get(param.type, ("TEXT", "text"))
    if param.choices:
        text, value = shlex.quote(param.choices[0]), param.choices[0]
    if call.cli:
        return f"Give it, such as -p {param.name}={text}. {_usage(declared)}"
    names = {param.name for param in declared}
    said = [f"{_short(name)} is none of its parameters." for name in call.kwargs if name not in names][:3]
    if call.args and not said:
        said.append("Positional arguments are not parameters.")
    return " ".join([*said, f"Give it by its name, such as {json.dumps({param.name: value})}.", _usage(declared)])


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
