"""What a script or a document may be called: its path below its root folder, which is also its identity."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from store.errors import BadName

SUFFIX = ".py"
SHARED = "lib"
"""The folder of what scripts import and what does not run by itself; to scripts it is the package ``lib``."""
MAX_PART = 200
"""Bytes of one component. Linux allows 255 (NAME_MAX), and a temporary file beside it has a longer name."""
MAX_PATH = 500
MAX_DEPTH = 8

_FORBIDDEN = {
    "Cc": "a control character",
    "Cf": "an invisible formatting character",
    "Cs": "a character that is not valid Unicode",
    "Co": "a private-use character",
    "Cn": "a character that Unicode does not know",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_NOT_PORTABLE = frozenset('\\:*?"<>|')
"""What other systems refuse in file names: a clone of the project must work there too."""
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for devices, with any suffix."""

_PLAIN = re.compile(r"[\w .-]+", re.ASCII)
"""Nearly every name, judged at once: a project may have ten thousand."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How the files of one kind are called below their root folder.

    Attributes:
        noun: Of one of them, for sentences.
        folder: Name of the root folder.
        suffixes: Endings of their names, in lower case. The first one is added to a name that has none.
        good: A name that will do.
    """

    noun: str
    folder: str
    suffixes: tuple[str, ...]
    good: str
    any_case: bool = False
    """Whether ``.MD`` counts as ``.md``."""

    def wanted(self, name: str) -> bool:
        """Tell whether a file of this name is one of them."""
        return (name.lower() if self.any_case else name).endswith(self.suffixes)

    def path(self, text: str) -> str:
        """Return the path that ``text`` means: checked, in Unicode form NFC, with a suffix where there is none.

        Raises:
            BadName: With a sentence that says what is wrong with it.
        """
        path = unicodedata.normalize("NFC", text)
        name = path.rpartition("/")[2]
        if name and "." not in name:
            path += self.suffixes[0]
        problem = self.path_problem(path)
        if problem is not None:
            raise BadName(f"{_quoted(text)} cannot be a {self.noun}'s name: {problem}.", f"A good one: {self.good}")
        return path

    def path_problem(self, path: str) -> str | None:
        """Say what is wrong with ``path`` as it stands; None when nothing is."""
        if not path:
            return "it is empty"
        if path.startswith("/"):
            return f"it must be relative to the project's {self.folder} folder"
        *folders, name = path.split("/")
        for part in folders:
            if problem := self.folder_problem(part):
                return problem
        if problem := _part_problem(name, self.suffixes):
            return problem
        if not self.wanted(name):
            return f"it must end in {_either(self.suffixes)}"
        if len(folders) >= MAX_DEPTH:
            return f"it has more than {MAX_DEPTH} levels"
        if len(path.encode()) > MAX_PATH:
            return f"it is longer than {MAX_PATH} bytes"
        return None

    def folder_problem(self, name: str) -> str | None:
        """Say what is wrong with one folder's name; None when nothing is."""
        return _folder_problem(name, self.suffixes)


SCRIPT_NAMES = Naming("script", "scripts", (SUFFIX,), "reports/daily_summary.py")

DOCUMENT_NAMES = Naming(
    "document",
    "documents",
    (".md", ".markdown", ".txt", ".text", ".html", ".htm", ".xhtml", ".rst", ".adoc", ".asciidoc", ".org", ".textile"),
    "reports/night_shift.md",
    any_case=True,
)
"""Text that people write and read. Data, configuration and logs below ``documents/`` are files for scripts."""


def script_path(text: str) -> str:
    """Return the script path that ``text`` means; raises ``BadName``."""
    return SCRIPT_NAMES.path(text)


def path_problem(path: str) -> str | None:
    """Say what is wrong with a script's ``path`` as it stands; None when nothing is."""
    return SCRIPT_NAMES.path_problem(path)


def folder_problem(name: str) -> str | None:
    """Say what is wrong with the name of a folder of scripts; None when nothing is."""
    return _folder_problem(name, SCRIPT_NAMES.suffixes)


@lru_cache(maxsize=1024)
def _folder_problem(name: str, suffixes: tuple[str, ...]) -> str | None:
    if suffixes == (SUFFIX,) and name.endswith(SUFFIX):
        return "a folder's name must not end in .py"
    return _part_problem(name, suffixes)


def _part_problem(part: str, suffixes: tuple[str, ...]) -> str | None:
    if not part:
        return "it has an empty component"
    if part in (".", ".."):
        return f"it must not contain {part!r}"
    if problem := _character_problem(part):
        return problem
    if part[0] in ".-":
        return f"no component may begin with {part[0]!r}"
    if part != part.strip() or part.endswith("."):
        return "no component may begin or end with a blank, or end with a full stop"
    for suffix in suffixes:
        if part.endswith(suffix) and part.removesuffix(suffix).strip() == "":
            return f"it has no name before {suffix}"
    if part.partition(".")[0].casefold() in _DEVICES:
        return f"{part.partition('.')[0]!r} is the name of a device on Windows"
    if len(part.encode()) > MAX_PART:
        return f"a component is longer than {MAX_PART} bytes"
    return None


def _either(suffixes: Sequence[str]) -> str:
    return suffixes[0] if len(suffixes) == 1 else f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def _character_problem(part: str) -> str | None:
    if _PLAIN.fullmatch(part):
        return None
    for character in part:
        if kind := _FORBIDDEN.get(unicodedata.category(character)):
            return f"it contains {kind} (U+{ord(character):04X})"
        if character in _NOT_PORTABLE:
            return f"it contains {character!r}, which some systems refuse in file names"
    if not unicodedata.is_normalized("NFC", part):
        return "its accents are not in the usual form (Unicode NFC)"
    return None


def folded(name: str) -> str:
    """What is equal for names that a system without upper case, or with another form of Unicode, cannot tell apart."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def clashing(name: str, others: Iterable[str]) -> str | None:
    """The one of ``others`` that differs from ``name`` only in case or in the form of its accents."""
    wanted = folded(name)
    return next((other for other in others if other != name and folded(other) == wanted), None)


def clash_note(other: str) -> str:
    """What to know about a script whose path clashes with ``other``."""
    return f"Its path differs from {shown(other)} only in case or accents: some systems cannot hold both."


def is_shared(path: str) -> bool:
    """Whether a script's path is one of the shared code."""
    return path.startswith(SHARED + "/")


def shared_module(path: str) -> str:
    """The name by which scripts import a file of the shared code."""
    return path.removesuffix(SUFFIX).removesuffix("/__init__").replace("/", ".")


def module_note(path: str) -> str | None:
    """What to know about a script's name where Python meets it as that of a module."""
    if is_shared(path):
        module = shared_module(path)
        if all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split(".")):
            return None
        return f"No import statement can say {shown(module)}: names of shared code have letters, digits and _ only."
    if path == SHARED + SUFFIX:
        return "python3 and uv run would import this script in place of the folder lib: give it another name."
    module = path.rpartition("/")[2].removesuffix(SUFFIX)
    if module not in sys.stdlib_module_names:
        return None
    return f"It is called like Python's own module {module}: elsewhere, scripts beside it would import this one."


def name_notes(paths: Sequence[str]) -> dict[str, str]:
    """What to know about those whose names will make trouble elsewhere, by path."""
    alike: dict[str, list[str]] = {}
    keys = [path.lower() if path.isascii() else folded(path) for path in paths]
    for path, key in zip(paths, keys, strict=True):
        alike.setdefault(key, []).append(path)
    notes: dict[str, str] = {}
    for path, key in zip(paths, keys, strict=True):
        other = next((one for one in alike[key] if one != path), None)
        note = clash_note(other) if other is not None else module_note(path)
        if note is not None:
            notes[path] = note
    return notes


def shown(path: str) -> str:
    """``path`` with everything escaped that cannot be sent or could drive a terminal."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _quoted(text: str) -> str:
    return f'"{shown(text[:80])}{"…" if len(text) > 80 else ""}"'
