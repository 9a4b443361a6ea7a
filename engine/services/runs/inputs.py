"""What a run is given, as it is recorded: canonical JSON with a hash, and the run's text by its own hash.

Secrets are not part of it. In their place stands an HMAC (RFC 2104) with the project's key, so that nobody who reads
the records can guess them, and the same secret can still be seen to be the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.models.runs import RunFileInput, RunRequest, SecretInput
from engine.pool.admission import MAX_FILES
from engine.services.access import ServiceError
from engine.services.runs.uploads import Buffer
from engine.worker.buffers import name_problem
from store.frontmatter.secret_names import holds_a_secret_name, names_a_secret, names_a_secret_argument

MAX_INPUTS = 64 << 10
"""Characters of inputs that are kept."""

MAX_CODE = 1 << 20
"""Bytes of a text that is kept: the most that a run may have."""

MOST_VALUES = 300_000
"""Values that a run may be given, with those inside of others. A table of 50,000 rows and 4 columns has 250,001."""

MANY_VALUES = 2_000
"""Values from which on it takes longer to look through them than others should wait: a millisecond."""

MUCH_TEXT = 256 << 10
"""Characters of values for which the same holds."""

BY_NAME = ("params", "kwargs", "variables")
ARGS = "args"
ARGV = "argv"
_FIELDS = (*BY_NAME, ARGS, ARGV, "entrypoint", "environment", "python")
HIDDEN = "***"
"""In place of an argument, or of a part at its end, that is secret."""

_OPTION = re.compile(r"-{1,2}([\w.-]+)")
_SEPARATOR = re.compile(r"[=:]")
_NO_PART_OF_A_NAME = re.compile(r"[^\w.-]")
_SCHEME = re.compile(r"\b(?:bearer|basic|digest|negotiate)(?:\s+|$)", re.IGNORECASE)
"""Of an Authorization header (RFC 9110, section 11.6.2)."""

_ACCOUNTS = ("user", "proxy-user", "u", "U", "login", "account")
"""Options whose value is an account, with its password behind a colon, as curl takes it."""

_LONGEST_NAME = 40
_NO_NAME = re.compile(r"\W")
_PLACE = re.compile(r"argv([0-9]+)_")
NOTHING = hashlib.sha256(b"{}").hexdigest()
"""Hash of the inputs of a run that was given none."""


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """``text`` is None when there is nothing to keep, or too much of it."""

    sha256: str
    text: str | None


@dataclass(frozen=True, slots=True)
class SecretKeeper:
    """Tells which inputs are secret, and makes HMACs of them.

    Attributes:
        key: The project's.
        declared: Whether each parameter that the script declares is secret; others are by their names.
    """

    key: bytes
    declared: Mapping[str, bool]

    def is_secret(self, place: str, name: str, value: object) -> bool:
        """Whether a value is one, or has one inside; then nothing of it is kept."""
        declared = self.declared.get(name) if place == "params" else None
        by_name = names_a_secret(name) if declared is None else declared
        return by_name or holds_a_secret_name(value)

    def hmac(self, name: str, value: object) -> str:
        """The HMAC of a value of that name. Raises as ``json.dumps`` does."""
        told = json.dumps([name, value], sort_keys=True, separators=(",", ":"))
        return f"hmac-sha256:{hmac.new(self.key, told.encode(), hashlib.sha256).hexdigest()}"


def is_much(request: RunRequest) -> bool:
    """Whether a run is given so much that ``given_inputs`` must not be waited for by others.

    What stands in several places is counted once: a script's arguments are often its parameters, too.

    Raises:
        ServiceError: ``too_large`` for more values than any run may be given, ``bad_request`` for more files or a
            buffer's bad name.
    """
    given = len(request.files) + len(request.buffers)
    if given > MAX_FILES:
        raise ServiceError("bad_request", f"A run can take {MAX_FILES} files and buffers, not {given}.")
    for name in request.buffers:
        if (problem := name_problem(name)) is not None:
            raise ServiceError("bad_request", f"A buffer cannot be handed over: {problem}.")
    level: list[Any] = [place for name in (*BY_NAME, ARGS) if (place := getattr(request, name))]
    values, characters = 0, sum(map(len, request.argv))
    while level:
        values += sum(map(len, level))
        if values > MOST_VALUES:
            raise ServiceError(
                "too_large",
                f"A run can be given at most {MOST_VALUES:,} values, those inside of others counted.",
                hint="Hand large data to a run as a file: it is uploaded, not sent along.",
                status=413,
            )
        inside: dict[int, Any] = {}
        for found in level:
            characters += _look_into(found, inside)
        level = list(inside.values())
    return values > MANY_VALUES or characters > MUCH_TEXT


def _look_into(found: dict[str, Any] | list[Any], inside: dict[int, Any]) -> int:
    """Return the characters of names and texts in a value, and add the values inside of it that have more in them."""
    characters, members = 0, found
    if isinstance(found, dict):
        characters, members = sum(map(len, found)), list(found.values())
    for value in members:
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict | list):
            inside[id(value)] = value
    return characters


def given_inputs(
    request: RunRequest,
    files: Mapping[str, Buffer],
    stdin: Buffer | None,
    keeper: SecretKeeper,
    buffers: Mapping[str, Buffer] | None = None,
) -> GivenInputs:
    """The inputs of a request.

    Args:
        request: What is about to run.
        files: The files that it is handed, by parameter.
        stdin: Its standard input.
        keeper: Knows what of it is secret.
        buffers: The buffers that it is handed, by name.
    """
    found: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(request, name))}
    if files:
        found["files"] = {parameter: _described(buffer) for parameter, buffer in files.items()}
    if buffers:
        found["buffers"] = {name: _described(buffer) for name, buffer in buffers.items()}
    if stdin is not None:
        found["stdin"] = _described(stdin)
    if not found:
        return GivenInputs(NOTHING, None)
    try:
        text = json.dumps(_without_secrets(found, keeper), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return GivenInputs("", None)  # no run can be given that either: it is refused with a sentence further on
    too_much = len(text) > MAX_INPUTS or _are_too_long(request.argv)
    return GivenInputs(hashlib.sha256(text.encode()).hexdigest(), None if too_much else text)


def _described(buffer: Buffer) -> dict[str, Any]:
    return {"name": buffer.info.name, "size": buffer.info.size, "sha256": buffer.info.sha256}


def _without_secrets(found: dict[str, Any], keeper: SecretKeeper) -> dict[str, Any]:
    """Inputs with HMACs, by place and name, in place of what is secret."""
    kept, hidden = dict(found), dict[str, dict[str, str]]()
    for place in BY_NAME:
        values: Mapping[str, Any] = found.get(place, {})
        secret = {name for name, value in values.items() if keeper.is_secret(place, name, value)}
        if secret:
            hidden[place] = {name: keeper.hmac(name, values[name]) for name in secret}
            kept[place] = {name: value for name, value in values.items() if name not in secret}
    if holds_a_secret_name(found.get(ARGS)):
        hidden[ARGS] = {ARGS: keeper.hmac(ARGS, kept.pop(ARGS))}
    argv = found.get(ARGV, [])
    if _are_too_long(argv):
        hidden[ARGV] = {ARGV: keeper.hmac(ARGV, kept.pop(ARGV))}
    elif secret_arguments := _secret_arguments(argv):
        kept[ARGV] = [*argv]
        for name, visible in secret_arguments.items():
            index = _index(name)
            hidden.setdefault(ARGV, {})[name] = keeper.hmac(name, argv[index][len(visible) :])
            kept[ARGV][index] = visible + HIDDEN
    return kept | {"secrets": hidden} if hidden else kept


def _are_too_long(argv: Sequence[str]) -> bool:
    """Whether arguments are more than is kept: then nobody looks for secrets in them, and none of them is."""
    return sum(map(len, argv)) > MAX_INPUTS


def _secret_arguments(argv: Sequence[str]) -> dict[str, str]:
    """What of the arguments is secret: for each a name for its value, and what stands before that and may be seen.

    A value behind an option or another name that says so, wherever that stands, or an address with an account. None of
    it is certain: rather one too many is hidden than one kept. The names are words that ``-p`` takes.
    """
    found: dict[str, str] = {}
    before = ""
    for number, argument in enumerate(argv, 1):
        option = _OPTION.fullmatch(argument)
        name, visible = _secret_part(argument)
        if before and (before not in _ACCOUNTS or ":" in argument):
            found[_argument_name(number, before)] = ""
            goes_on = _SCHEME.fullmatch(argument) is not None
        else:
            if name and len(visible) < len(argument):
                found[_argument_name(number, name)] = visible
            goes_on = False
        if goes_on:  # the word before the secret itself
            continue
        before = ""
        if option is not None and (option[1] in _ACCOUNTS or names_a_secret_argument(option[1])):
            before = option[1]
        elif name and len(visible.rstrip()) == len(argument.rstrip()):
            before = name
    return found


def _secret_part(argument: str) -> tuple[str, str]:
    """The name of what is secret in one argument, and what stands before that; nothing if nothing is."""
    start, last_colon = 0, argument.rfind(":")
    for separator in _SEPARATOR.finditer(argument):
        word = _NO_PART_OF_A_NAME.split(argument[start : separator.start()].rstrip(" \t\"'\\"))[-1].lstrip("-.")
        start = separator.end()
        is_account = word in _ACCOUNTS and separator[0] == "=" and last_colon >= start
        if is_account or names_a_secret_argument(word):
            visible = argument[:start]
            return ("url", "") if _has_account(visible) else (word, visible)
    if _has_account(argument):
        return "url", ""
    if (scheme := _SCHEME.search(argument)) is not None:
        return "authorization", argument[: scheme.end()]
    if argument[:2] in ("-u", "-U") and ":" in argument:
        return "user", argument[:2]
    return "", ""


def _has_account(text: str) -> bool:
    """Whether there is an address with an account (RFC 3986, section 3.2.1), with a slash in the password, too."""
    before, at, _ = text.rpartition("@")
    return bool(at) and ("//" in before or ":" in (before.split() or [""])[-1])


def _argument_name(number: int, option: str) -> str:
    return f"{ARGV}{number}_{_NO_NAME.sub('_', option[-_LONGEST_NAME:])}"


def _index(name: str) -> int:
    """The place among the arguments that a name of ``_argument_name`` tells."""
    place = _PLACE.match(name)
    assert place is not None, name  # noqa: S101
    return int(place[1]) - 1


def with_secret_arguments(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The arguments with the values that are not kept, which come by their names."""
    complete = list(argv)
    for name, value in values.items():
        index = _index(name)
        complete[index] = complete[index].removesuffix(HIDDEN) + value
    return complete


def kept_code(source: bytes) -> bytes | None:
    """What is kept of a run's text."""
    return source if 0 < len(source) <= MAX_CODE else None


def read_inputs(text: str | None) -> dict[str, Any]:
    """Kept inputs by the names of ``RunInputs``."""
    found: dict[str, Any] = json.loads(text) if text else {}
    files, secrets, stdin = found.pop("files", {}), found.pop("secrets", {}), found.pop("stdin", None)
    buffers = found.pop("buffers", {})
    return found | {
        "stdin": None if stdin is None else RunFileInput(parameter="", **stdin),
        "files": [RunFileInput(parameter=parameter, **file) for parameter, file in files.items()],
        "buffers": [RunFileInput(parameter=name, **buffer) for name, buffer in buffers.items()],
        "secrets": [
            SecretInput(place=place, name=name, hmac=digest)
            for place, digests in secrets.items()
            for name, digest in digests.items()
        ],
    }
