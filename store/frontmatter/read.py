"""The PEP 723 block of a script: what it says about itself under ``[tool.gatewright]``.

Where it stands, ``locate`` finds. It is judged key by key: a wrong value gives one sentence and that key its default,
and all other keys count. Nothing a file holds makes ``parse`` raise or take long. Unknown keys have no effect, and are
told of (``known_keys``).

tomli is what the standard library's tomllib was made from, but compiled: it takes a fourth of the time, and reads what
people write. Larger blocks are left to tomllib, during which others get their turn.

PEP 723, "Specification": https://peps.python.org/pep-0723/
"""

from __future__ import annotations

import functools
import keyword
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

import tomli
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from store.frontmatter.known_keys import UnknownKey, unknown_keys
from store.frontmatter.locate import FrontmatterError, TomlText, find_block
from store.frontmatter.secret_names import names_a_secret
from store.sizes import describe_size, parse_size

MAX_TITLE = 200
MAX_TEXT = 2_000
MAX_ITEMS = 100
MAX_NOTED = 3
MIN_OPEN_FILES = 16
"""Fewer leave an interpreter none to import a module with."""

LEAST_SIZES = {"memory": 16 << 20, "output": 1 << 10, "result": 1 << 10, "scratch": 4 << 10}
"""Bytes by the limit's key: with less no run gets to its first line, or can say what became of it."""

PARAM_TYPES = ("str", "int", "float", "bool", "list", "file", "choice")

COMPILED_BLOCK = 4 << 10
"""Characters of a block that tomli may read."""

MAX_KEY_LEVELS = 50
"""Levels of a dotted key: tomli's time grows with the square of their number."""

_TOKEN = re.compile(
    r"""(?sx) \#[^\n]*                                        # comment
    | \"{3} (?:[^\\]|\\.)*? (?:"{3,5}|\Z) | '{3} .*? (?:'{3,5}|\Z)
    | " (?:[^"\\\n]|\\.)* "? | ' [^'\n]* '?
    | [\w-]+ | [ \t]+ | .
    """
)
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9._-]{0,39}")
"""Such a name is a folder's."""

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
"""What both parsers say at the end of their sentences, by the lines of what they were given."""
_INT64 = range(-(1 << 63), 1 << 63)
_NOTHING: Mapping[str, Any] = MappingProxyType({})

_FITS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and value in _INT64,
    "float": lambda value: (isinstance(value, float) and math.isfinite(value)) or _FITS["int"](value),
    "bool": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list) and all(_is_plain(item) for item in value),
    "file": lambda _: False,  # a file comes with the run
    "choice": lambda value: isinstance(value, str),
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a script. ``default`` counts only when it is not ``required``."""

    name: str
    type: str = "str"
    default: Any = None
    required: bool = True
    help: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False
    """What it is given is kept as an HMAC only: said so, or by its name."""


@dataclass(frozen=True, slots=True)
class DeclaredLimits:
    """What the script asks for: seconds, bytes and counts, None where it does not say."""

    timeout: float | None = None
    memory: int | None = None
    output: int | None = None
    result: int | None = None
    scratch: int | None = None
    open_files: int | None = None
    parallel: int | None = None
    """How many runs of the script may go on at once."""
    output_stop: bool | None = None
    """More output than ``output`` ends the run."""


_NO_LIMITS = DeclaredLimits()


@dataclass(frozen=True, slots=True)
class Frontmatter:
    """What a script says about itself, with defaults for what it does not say."""

    title: str
    description: str = ""
    kind: str = "utility"
    entrypoint: str | None = None
    enabled: bool = True
    leave_processes: bool = False
    """What detaches itself from an ADMIN run of it goes on after the run."""
    tags: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    limits: DeclaredLimits = DeclaredLimits()
    permissions: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """As written; judged when an administrator is asked to approve them."""
    requires_python: str | None = None
    dependencies: tuple[str, ...] = ()
    environment: str = ""
    """The named environment that it runs in; empty: as its dependencies and its Python have it."""
    problem: str | None = None
    """The first thing that is wrong, one sentence with the key."""
    problem_line: int | None = field(default=None, compare=False)
    """Of the script, from 1, where the block cannot be read; not kept in the index."""
    problem_key: tuple[str, ...] = field(default=(), compare=False)
    """Of the document, where one key is wrong; not kept in the index."""
    unknown: tuple[UnknownKey, ...] = field(default=(), compare=False)
    """Keys without effect; not kept in the index."""
    note: str | None = None
    """What is said of those that were meant as others."""


def parse(text: str, path: str = "") -> Frontmatter:
    """Read the block of a script.

    Args:
        text: The script.
        path: Its path, which gives the title when the block has none.
    """
    reader = _Reader()
    return reader.frontmatter(reader.document(text), path)


def from_document(document: Mapping[str, Any], path: str = "") -> Frontmatter:
    """As ``parse`` reads it, from a block's TOML that is parsed already."""
    return _Reader().frontmatter(document, path)


def title_from_path(path: str) -> str:
    """``reports/daily_summary.py`` is called "Daily summary"."""
    stem = path.rpartition("/")[2].removesuffix(".py")
    words = " ".join(re.split(r"[\s_-]+", stem)).strip()
    return clean(words[:1].upper() + words[1:], MAX_TITLE)


def document_of(text: str) -> Mapping[str, Any]:
    """The TOML of a script's block; empty where it has none.

    Raises:
        FrontmatterError: It cannot be read; what is said of lines is said of the script's own.
    """
    block = find_block(text)
    return _NOTHING if block is None else loads(block)


def loads(block: TomlText) -> Mapping[str, Any]:
    """As ``document_of``, of a block that is found already."""
    text = block.text
    if _has_deep_key(text):
        raise FrontmatterError("The header is nested too deeply.", block.first)
    # Compiled code holds the interpreter's lock until it is done, which a large and hostile block makes long.
    parse = tomli.loads if len(text) <= COMPILED_BLOCK else tomllib.loads
    try:
        return parse(text)
    except (tomli.TOMLDecodeError, tomllib.TOMLDecodeError) as error:
        raise _no_toml(block, str(error)) from error
    except RecursionError as error:
        raise FrontmatterError("The header is nested too deeply.", block.first) from error
    except ValueError as error:  # int() refuses thousands of digits
        raise FrontmatterError("A number in the header is too large.", block.first) from error


def _no_toml(block: TomlText, said: str) -> FrontmatterError:
    """The parser's sentence by the lines of the file, where the header's own begin with ``# ``."""
    place = _TOML_PLACE.search(said)
    reason = clean(said[: place.start()] if place else said, MAX_TITLE)
    lines = block.text.split("\n")
    row = int(place[1]) - 1 if place and place[1] else len(lines) - 1
    line = block.first + row + 1
    column = f", column {int(place[2]) + 2}" if place and place[2] else ""
    if row < len(lines) and lines[row].startswith("///"):
        reason = "it ends at the last # /// of its comment, so an empty line must follow its own"
    return FrontmatterError(f"The header is not valid TOML: {reason} (line {line}{column}).", line)


def _has_deep_key(block: str) -> bool:
    """Whether a dotted key has too many levels. A key never goes over the end of a line."""
    if all(line.count(".") < MAX_KEY_LEVELS for line in block.split("\n")):
        return False
    dots = 0
    for found in _TOKEN.finditer(block):
        piece = found[0]
        if piece == ".":
            dots += 1
            if dots >= MAX_KEY_LEVELS:
                return True
        elif len(piece) == 1 and not (piece.isalnum() or piece in "_- \t"):
            dots = 0
    return False


class _Reader:
    """Takes values out of a document; the first thing that is wrong becomes ``problem``."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.line: int | None = None
        self._culprit: tuple[Mapping[str, Any], str] | None = None

    def wrong(self, sentence: str, table: Mapping[str, Any] | None = None, key: str = "") -> None:
        """Say what is wrong; ``table`` is where ``key`` stands, which is to blame."""
        if self.problem is None:
            self.problem = sentence
            self._culprit = None if table is None else (table, key)

    def _problem_key(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the key that is to blame stands in the document."""
        if self._culprit is None:
            return ()
        culprit, key = self._culprit
        pending: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), document)]
        while pending:
            path, table = pending.pop()
            if table is culprit:
                return (*path, key)
            pending += [((*path, name), value) for name, value in table.items() if isinstance(value, Mapping)]
        return ()

    def document(self, text: str) -> Mapping[str, Any]:
        try:
            return document_of(text)
        except FrontmatterError as error:
            self.wrong(str(error))
            self.line = error.line
            return _NOTHING

    def frontmatter(self, document: Mapping[str, Any], path: str) -> Frontmatter:
        tool = self.table(document, "tool", "tool")
        own = self.table(tool, "gatewright", "tool.gatewright")
        unknown = unknown_keys(document, own)
        return Frontmatter(
            title=self.text(own, "title") or title_from_path(path),
            description=self.text(own, "description", MAX_TEXT),
            kind=self.text(own, "kind") or "utility",
            entrypoint=self.identifier(own, "entrypoint"),
            enabled=self.value(own, "enabled", bool, "true or false", True),
            leave_processes=self.value(own, "leave_processes", bool, "true or false", False),
            tags=self.texts(own, "tags", "tags"),
            preload=self.texts(own, "preload", "preload"),
            params=self.params(own),
            limits=self.limits(own),
            permissions=self.permissions(own),
            requires_python=self.python(document),
            dependencies=self.dependencies(document),
            environment=self.environment(own),
            problem=self.problem,
            problem_line=self.line,
            problem_key=self._problem_key(document),
            unknown=unknown,
            note=_note(unknown) if unknown else None,
        )

    def value(
        self, table: Mapping[str, Any], key: str, kind: type | tuple[type, ...], wanted: str, default: object
    ) -> Any:  # noqa: ANN401 - of type ``kind``, or the default
        """``table[key]`` if it has the right type. TOML's true and false are no numbers."""
        found = table.get(key, default)
        if found is default:
            return default
        if isinstance(found, kind) and (not isinstance(found, bool) or kind is bool):
            return found
        self.wrong(f"{clean(key, 40)} must be {wanted}, not {named(found)}.", table, key)
        return default

    def table(self, table: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
        found = table.get(key, _NOTHING)
        if isinstance(found, Mapping):
            return found
        self.wrong(f"[{name}] must be a table, not {named(found)}.", table, key)
        return _NOTHING

    def text(self, table: Mapping[str, Any], key: str, limit: int = MAX_TITLE) -> str:
        return clean(self.value(table, key, str, "text", ""), limit) if key in table else ""

    def texts(self, table: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
        if key not in table:
            return ()
        found = self.value(table, key, list, "a list of texts", ())
        if any(not isinstance(item, str) for item in found):
            self.wrong(f"{name} must be a list of texts.", table, key)
            return ()
        if len(found) > MAX_ITEMS:
            self.wrong(f"{name} has more than {MAX_ITEMS} entries.", table, key)
        return tuple(clean(item, MAX_TITLE) for item in found[:MAX_ITEMS])

    def identifier(self, table: Mapping[str, Any], key: str) -> str | None:
        found: str | None = self.value(table, key, str, "the name of a function", None)
        if found is None or is_name(found):
            return found
        self.wrong(f"{key} must be the name of a function, not {quoted(found)}.", table, key)
        return None

    def environment(self, own: Mapping[str, Any]) -> str:
        found = self.text(own, "environment")
        if not found or _ENVIRONMENT.fullmatch(found):
            return found
        self.wrong(
            f"environment must be a name of lower case letters, digits, dots and hyphens, not {quoted(found)}.",
            own,
            "environment",
        )
        return ""

    def python(self, document: Mapping[str, Any]) -> str | None:
        found = self.text(document, "requires-python")
        if not found or _is_version_specifier(found):
            return found or None
        self.wrong(
            f'requires-python must be a version specifier such as ">=3.11", not {quoted(found)}.',
            document,
            "requires-python",
        )
        return None

    def dependencies(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        found = self.texts(document, "dependencies", "dependencies")
        for text in found:
            if not _is_requirement(text):
                sentence = f'dependencies must list requirements such as "pandas>=2", not {quoted(text)}.'
                self.wrong(sentence, document, "dependencies")
        return found

    def limits(self, own: Mapping[str, Any]) -> DeclaredLimits:
        limits = self.table(own, "limits", "limits")
        if not limits:
            return _NO_LIMITS
        return DeclaredLimits(
            timeout=self.seconds(limits),
            memory=self.size(limits, "memory", "512 MiB"),
            output=self.size(limits, "output", "1 MiB"),
            result=self.size(limits, "result", "1 MiB"),
            scratch=self.size(limits, "scratch", "64 MiB"),
            open_files=self.count(limits, "open_files", MIN_OPEN_FILES),
            parallel=self.count(limits, "parallel", 1),
            output_stop=self.flag(limits, "output_stop"),
        )

    def permissions(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        table = self.table(own, "permissions", "permissions")
        return MappingProxyType(dict(table)) if table else _NOTHING

    def seconds(self, limits: Mapping[str, Any]) -> float | None:
        found = self.value(limits, "timeout", (int, float), "a number of seconds", None)
        if found is None:
            return None
        if not _FITS["float"](found) or found <= 0:
            self.wrong("limits.timeout must be a number of seconds above 0.", limits, "timeout")
            return None
        return float(found)

    def size(self, limits: Mapping[str, Any], key: str, example: str) -> int | None:
        found = self.value(limits, key, (int, str), f'a size such as "{example}"', None)
        if found is None:
            return None
        size = parse_size(found) if isinstance(found, str) else found
        if size is None or size <= 0 or size not in _INT64:
            shown = quoted(str(found)[:80])
            self.wrong(f'limits.{key} must be a size such as "{example}", not {shown}.', limits, key)
            return None
        if size < (least := LEAST_SIZES[key]):
            shown = quoted(found) if isinstance(found, str) else describe_size(found)
            sentence = f'limits.{key} must be at least {describe_size(least)}, such as "{example}", not {shown}.'
            self.wrong(sentence, limits, key)
            return None
        return size

    def flag(self, limits: Mapping[str, Any], key: str) -> bool | None:
        found: bool | None = self.value(limits, key, bool, "true or false", None)
        return found

    def count(self, limits: Mapping[str, Any], key: str, least: int) -> int | None:
        found: int | None = self.value(limits, key, int, "a whole number", None)
        if found is None or (found >= least and found in _INT64):
            return found
        self.wrong(f"limits.{key} must be a whole number, at least {least}.", limits, key)
        return None

    def params(self, own: Mapping[str, Any]) -> tuple[Param, ...]:
        table = self.table(own, "params", "tool.gatewright.params")
        if not table:
            return ()
        if len(table) > MAX_ITEMS:
            self.wrong(f"There are more than {MAX_ITEMS} params.", own, "params")
        read = (self._param(table, name, spec) for name, spec in list(table.items())[:MAX_ITEMS])
        return tuple(param for param in read if param is not None)

    def _param(self, table: Mapping[str, Any], name: str, spec: object) -> Param | None:
        if not is_name(name):
            self.wrong(f"{quoted(name)} cannot be the name of a param.", table, name)
            return None
        key = f"params.{clean(name, 40)}"
        if not isinstance(spec, Mapping):
            self.wrong(f"[{key}] must be a table, not {named(spec)}.", table, name)
            return None
        kind = self.value(spec, "type", str, "text", "str")
        if kind not in PARAM_TYPES:
            self.wrong(f"{key}.type must be one of {', '.join(PARAM_TYPES)}, not {quoted(kind)}.", spec, "type")
            return None
        choices = self.texts(spec, "choices", f"{key}.choices")
        if kind == "choice" and not choices:
            self.wrong(f"{key}.choices must list at least one text.", spec, "choices")
            return None
        default = spec.get("default")
        if default is not None and not _fits(default, kind, choices):
            self.wrong(f"{key}.default does not fit its type, {kind}.", spec, "default")
            default = None
        required = self.value(spec, "required", bool, "true or false", default is None)
        # Of a file only its hash is kept anyway.
        secret = self.value(spec, "secret", bool, "true or false", names_a_secret(name)) and kind != "file"
        return Param(name, kind, default, required, self.text(spec, "help", MAX_TEXT), choices, secret)


@functools.lru_cache(maxsize=256)
def _is_version_specifier(text: str) -> bool:
    """By the rules of https://packaging.python.org/en/latest/specifications/version-specifiers/."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _is_requirement(text: str) -> bool:
    """By PEP 508."""
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def _fits(value: object, kind: str, choices: tuple[str, ...]) -> bool:
    return _FITS[kind](value) and (kind != "choice" or value in choices)


def _is_plain(value: object) -> bool:
    """What JSON can carry without structure: TOML also has dates and tables."""
    return isinstance(value, str) or _FITS["bool"](value) or _FITS["float"](value)


def is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text) and len(text) <= MAX_TITLE


def clean(text: str, limit: int) -> str:
    """One line of valid Unicode without control characters, cut to ``limit``."""
    line = " ".join(text[: 2 * limit].split())
    if len(line) <= limit and line.isprintable():
        return line
    valid = line.encode("utf-8", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "\ufffd" for character in valid)[:limit]


def unknown_sentence(found: UnknownKey) -> str:
    """What to say of a key without effect."""
    key = clean(".".join(found.path).removeprefix("tool.gatewright."), 80)
    if not found.meant:
        return f"The header's key {key} is unknown here and has no effect; it is kept."
    return f"The header's key {key} has no effect: {found.meant}{'' if found.meant.endswith('?') else '.'}"


def _note(unknown: Iterable[UnknownKey]) -> str | None:
    """Sentences about the first keys that were meant as others: a check tells of all."""
    meant = (found for found in unknown if found.meant)
    return " ".join(unknown_sentence(found) for found in islice(meant, MAX_NOTED)) or None


def quoted(text: str) -> str:
    return f'"{clean(text, 80)}"'


def named(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")
