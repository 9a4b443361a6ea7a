"""The paths of documents in the console: below ``documents/``, beside those of scripts, which all end in ``.py``."""

from __future__ import annotations

import unicodedata

from tui.text.script_names import SUFFIX as SCRIPT_SUFFIX

ROOT = "documents"
SUFFIX = ".md"


def is_document(path: str) -> bool:
    """Tell a document's path in the console from a script's; scripts may have a folder of that name, too."""
    return path.startswith(f"{ROOT}/") and not path.endswith(SCRIPT_SUFFIX)


def shown_path(path: str) -> str:
    """Return the console's path of a document that the engine knows by ``path``."""
    return f"{ROOT}/{path}"


def engine_path(path: str) -> str:
    """Return what the engine calls a document with that path in the console."""
    return path.removeprefix(f"{ROOT}/")


def document_path(name: str) -> str:
    """Return the path that a typed ``name`` means: below ``documents/``, with ``.md`` where it has no suffix."""
    path = unicodedata.normalize("NFC", name)
    last = path.rpartition("/")[2]
    path = f"{path}{SUFFIX}" if last and "." not in last else path
    return path if path.startswith(f"{ROOT}/") else shown_path(path)
