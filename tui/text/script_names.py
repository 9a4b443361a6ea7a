"""What a typed name of a script means, by the engine's own rule, and what to type in place of one that will not do."""

from __future__ import annotations

import re
import shlex
import unicodedata

SUFFIX = ".py"
BY_PATH = ("/", "./", "../", "~")
"""How the path of a file begins that can be nothing else."""

_ODD = re.compile(r"[^\w .-]+|_{2,}")


def script_path(name: str) -> str:
    """Return the path that ``name`` means: in Unicode form NFC, with ``.py`` where the file's name has no suffix.

    The engine's rule (``store/files/names.py``), which also says what no script can be called.
    """
    path = unicodedata.normalize("NFC", name)
    last = path.rpartition("/")[2]
    return f"{path}{SUFFIX}" if last and "." not in last else path


def better_name(name: str) -> str:
    """Return a name like ``name`` that a script can have."""
    parts = [_plain(part) for part in unicodedata.normalize("NFC", name).split("/")]
    *folders, last = [part for part in parts if part] or ["script"]
    stem, _, suffix = last.rpartition(".")
    stem = stem if stem and suffix.casefold() == "py" else last
    folders = [folder.removesuffix(SUFFIX) for folder in folders]
    path = "/".join([*folders, stem.replace(".", "_") + SUFFIX])
    return path if path != script_path(name) else f"{path.removesuffix(SUFFIX)}_1{SUFFIX}"


def quoted(text: str) -> str:
    """Return ``text`` as one word of a shell's command line, without anything that could drive a terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shlex.quote(shown)


def _plain(part: str) -> str:
    return _ODD.sub("_", part).lstrip(".- ").rstrip(". ")[:60]
