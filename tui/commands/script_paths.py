"""A script or document named by the path of its file, as a shell completes it: relative, absolute, from any folder.

The engine knows scripts by their path below ``scripts/``. This makes that of what was typed, or says why it is none.
Names that are no paths of files cost a look whether there is such a file here.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.client.finding import find_project
from engine.client.launch import LaunchError
from engine.paths import PRIVATE
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.text.document_names import is_document
from tui.text.script_names import BY_PATH, SUFFIX, quoted

FOLDER = "scripts/"


def script_meant(text: str, project: str | None, *, gone: bool = False) -> str:
    """Return the path below ``scripts/`` of the file that ``text`` names; ``text`` itself if it names none.

    Args:
        text: As it was typed.
        project: The project's folder as it was given; None for the one around the current folder.
        gone: The script need not be there any more.

    Raises:
        CommandError: The file lies outside the project's scripts, or the name could be two of them.
    """
    if text == "-":
        return text
    by_path, here = text.startswith(BY_PATH), _file(os.path.expanduser(text))
    if not by_path and here is None and not text.startswith(FOLDER):
        return text
    root = _scripts(project)
    if root is None:
        if by_path and here is not None:
            _refuse_of_other_project(text, here)
        return text
    path = _below(root, here or os.path.abspath(os.path.expanduser(text)))
    if by_path:
        if here is None and not (gone and path is not None):
            raise _refusal(f"there is no file {text}", "See gatewright scripts list.")
        return path or _outside(text, here)
    return _named(text, root, here, path, gone=gone)


def _named(text: str, root: str, here: str | None, path: str | None, *, gone: bool) -> str:
    """What a name means that is also a path from here, or one from the project's folder."""
    named = _file(os.path.join(root, text))
    if path is not None and here is not None:
        if named is not None and not os.path.samefile(named, here):
            other = os.path.relpath(named, root)
            raise _refusal(f"{text} could be {path} or {other}", f"Write ./{text}, or {FOLDER}{other}.", "ambiguous")
        return path
    rest = text.removeprefix(FOLDER)
    if named is None and rest != text and (gone or _file(os.path.join(root, rest)) is not None):
        return rest
    if named is None and here is not None and not _has(root, os.path.basename(here)):
        return _outside(text, here)
    return text


def document_meant(text: str, project: str) -> str | None:
    """Return the path, from ``documents/`` on, of the project's document that ``text`` names; None if it names none.

    Args:
        text: As it was typed: a path of a file, or one from the project's folder.
        project: The project's folder.
    """
    if is_document(text):
        return text
    root, file = os.path.realpath(project), os.path.realpath(os.path.expanduser(text))
    path = os.path.relpath(file, root)
    return path if is_document(path) and os.path.isfile(file) else None


def script_elsewhere(text: str, place: str) -> str:
    """Return the path below ``scripts/`` of a script of an engine that has no folder here.

    Raises:
        CommandError: A file of this host is named.
    """
    if text.startswith(BY_PATH):
        raise _refusal(
            f"{text} is the path of a file on this host, and the scripts are those of {place}",
            f"Name it as scripts list does. A file becomes a script: gatewright scripts import {quoted(text)}",
            "outside",
        )
    return text.removeprefix(FOLDER)


def script_at(file: str, project: str | None) -> str | None:
    """Return the path below ``scripts/`` of a file; None if it is no script of the project."""
    root, here = _scripts(project), _file(os.path.expanduser(file))
    return None if root is None or here is None else _below(root, here)


def new_script_meant(text: str, project: str | None) -> str:
    """Return the path below ``scripts/`` that a new script gets that is named by the path of its file to be.

    What lies elsewhere is returned as it is: the engine says what is wrong with it.
    """
    by_path = text.startswith(BY_PATH)
    if not by_path and not text.startswith(FOLDER):
        return text
    root = _scripts(project)
    if root is None:
        return text
    if by_path:
        return _below(root, os.path.abspath(os.path.expanduser(text))) or text
    return text if os.path.isdir(os.path.join(root, FOLDER)) else text.removeprefix(FOLDER)


def _scripts(project: str | None) -> str | None:
    """The folder of the project's scripts; None where there is no project, which whoever connects says."""
    try:
        return os.path.realpath(find_project(project, tell=lambda _: None) / FOLDER)
    except LaunchError:
        return None


def _file(path: str) -> str | None:
    """The absolute path of an ordinary file; ``.py`` may be left out."""
    return next((os.path.abspath(one) for one in (path, path + SUFFIX) if os.path.isfile(one)), None)


def _below(root: str, file: str) -> str | None:
    """The path of a file below ``root``; None if it is not there. Links to its folder count, not one that it is."""
    folder, name = os.path.split(file)
    inside = Path(os.path.realpath(folder), name)
    return inside.relative_to(root).as_posix() if inside.is_relative_to(root) else None


def _has(root: str, name: str) -> bool:
    """Whether some script has this file name: that is a name of it, too."""
    return any(name in names for _, _, names in os.walk(root))


def _refuse_of_other_project(text: str, file: str | None) -> None:
    """Say whose script a file is: it is run in its own project, which is never taken without being named."""
    other = next((folder for folder in Path(file or "/").parents if os.path.isdir(folder / PRIVATE)), None)
    if other is not None and other / FOLDER in Path(file or "/").parents:
        raise _refusal(
            f"{text} is a script of the project {other}", f"Name it: --project {quoted(str(other))}", "outside"
        )


def _outside(text: str, file: str | None) -> str:
    _refuse_of_other_project(text, file)
    raise _refusal(
        f"{text} is no script of this project",
        f"Keep it as one: gatewright scripts import {quoted(text)}   Run it once: gatewright exec - < {quoted(text)}",
        "outside",
    )


def _refusal(sentence: str, hint: str, code: str = "no_script") -> CommandError:
    return CommandError(sentence, hint=hint, exit_code=exit_codes.USAGE, code=code)
