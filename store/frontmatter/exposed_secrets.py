"""Values of a script's header that look like secrets: all who can read the script have them, or its history, or git.

Two things tell one: the name of its key, and its look. Neither is proof, so what is found is only warned of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from store.frontmatter.block import Block, nearest_line
from store.frontmatter.known_keys import OWN, TOP
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import loads
from store.frontmatter.secret_names import names_a_secret
from store.frontmatter.toml_spans import Path, dotted

MOST = 20
"""Values that are told."""

_PARAMS = (*OWN, "params")
_GRANTED = (*OWN, "permissions", "secrets")
"""Names of secrets, not values."""
_DEFAULT = "default"

_KNOWN = re.compile(
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_\w{36}|github_pat_\w{22}|glpat-[\w-]{20}"  # GitHub, GitLab
    r"|xox[abeoprs]-[\w-]{10}|sk[-_](?:live_|test_)?[A-Za-z0-9]{20}|AIza[\w-]{35}|hv[sbr]\.\w{20}|npm_\w{36}"
    r"|(?<=[\w-]{11})\.eyJ[\w-]{8,}+\."  # the claims of a JSON Web Token (RFC 7519)
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"  # RFC 7468
    r"|[a-z0-9+.-]://[^/\s:@]*+:[^/\s:@]++@"  # a password in a URI (RFC 3986, section 3.2.1)
)
"""No alternative begins with a repetition, or could begin anew inside one: that takes the square of a length."""

_RUN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_HEX = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}|[0-9]{4,}")
_SIGN = re.compile(r"[+/_=-]")

LEAST = 16
"""Letters and digits of a text that is worth a look."""

FEW = 6
"""Different digits of what is a pattern, and no key: ``00000000`` and so on."""

WORDS = 0.5
"""Of its letters and digits, how many stand in words and numbers of four and more, in what people write by hand. In the
Base64 of random bytes it is about a tenth."""


class ExposedSecret(NamedTuple):
    """One value.

    Attributes:
        key: Where it stands, as ``scripts set`` names it.
        param: The parameter whose default it is.
        line: Of the script, from 1.
        by_name: Its key says so; else its look does.
    """

    key: str
    param: str | None
    line: int
    by_name: bool


def exposed_secrets(data: bytes) -> list[ExposedSecret]:
    """Return what looks like a secret in a script's header; nothing if it has none that can be read."""
    try:
        block = Block.of(data)
        document = {} if block is None else loads(block.toml)
    except FrontmatterError:
        return []
    found: dict[Path, bool] = {}
    for path, value, params in _values(document):
        if len(found) >= MOST:
            break
        if _is_named(path, value, params):
            found[path] = True
        elif isinstance(value, str) and looks_secret(value):
            found.setdefault(path, False)
    if block is None or not found:
        return []
    lines = block.key_lines()
    return [ExposedSecret(_shown(path), _param(path), nearest_line(lines, path), by) for path, by in found.items()]


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a known kind of key, or is long and random."""
    if _KNOWN.search(text):
        return True
    plain = _UUID.sub(" ", text)
    return any(_is_random(run) for run in _RUN.findall(plain))


def _is_random(run: str) -> bool:
    if _HEX.fullmatch(run):
        return len(set(run)) > FEW and not run.isdigit()
    size = len(_SIGN.sub("", run))
    mixed = any(map(str.isdigit, run)) and any(map(str.isupper, run)) and any(map(str.islower, run))
    return size >= LEAST and mixed and sum(map(len, _WORD.findall(run))) < WORDS * size


def _values(document: Mapping[str, Any]) -> Iterator[tuple[Path, object, Mapping[str, Any]]]:
    """Every plain value with its path, items of a list at the list's own, and the table that it stands in."""
    pending: list[tuple[Path, Any, Mapping[str, Any]]] = [
        ((key,), value, document) for key, value in document.items() if key not in TOP
    ]
    while pending:
        path, value, table = pending.pop()
        if isinstance(value, Mapping):
            pending += [((*path, key), inner, value) for key, inner in value.items()]
        elif isinstance(value, list):
            pending += [(path, item, table) for item in value]
        else:
            yield path, value, table


def _is_named(path: Path, value: object, table: Mapping[str, Any]) -> bool:
    """Whether a value is more than nothing and its key says that it is secret."""
    if not isinstance(value, str | int | float) or isinstance(value, bool) or not value:
        return False
    if path == _GRANTED:
        return False
    if path[: len(_PARAMS)] == _PARAMS and len(path) == len(_PARAMS) + 2:
        if path[-1] != _DEFAULT:
            return False
        said = table.get("secret")
        return said if isinstance(said, bool) else names_a_secret(path[-2])
    return names_a_secret(path[-1])


def _shown(path: Path) -> str:
    return dotted(path[len(OWN) :] if path[: len(OWN)] == OWN and len(path) > len(OWN) else path)


def _param(path: Path) -> str | None:
    inside = path[: len(_PARAMS)] == _PARAMS and len(path) == len(_PARAMS) + 2
    return path[-2] if inside and path[-1] == _DEFAULT else None
