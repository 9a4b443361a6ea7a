"""Which modules a script may import: the lists, the rule, its sentences, and the ``__import__`` that asks it.

A guard rail with a clear message, not a wall: the kernel is the wall. It judges the absolute name that the *script*
asks for. What other modules import is never judged, for they look ``__import__`` up in builtins of their own.

An entry of the settings covers the module it names and everything below that. A dotted one covers no more: ``os.path``
lets ``import os.path`` and ``from os.path import join`` pass, and neither ``import os`` nor ``from os import path``,
which asks for ``os``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

RESTRICTED = "RESTRICTED"

SAFE_MODULES = (
    "math", "json", "datetime", "itertools", "collections", "decimal", "random", "re", "statistics", "time", "calendar",
    "uuid", "hashlib", "base64", "string", "textwrap", "difflib", "enum", "functools", "operator", "copy", "ast",
    "dataclasses", "typing",
)  # fmt: skip
"""What RESTRICTED scripts may import without anybody's leave."""

ALWAYS_ALLOWED = ("gatewright", "lib", "__future__")
"""The scripts' own API, the project's shared code, and a word of the language that only looks like a module."""

ADMIN_MODULES = (
    "os", "subprocess", "sys", "socket", "urllib", "requests", "http", "ftplib", "smtplib", "pathlib", "shutil", "glob",
    "tempfile", "sqlite3", "csv", "xml", "pandas", "numpy", "pickle", "shelve", "dbm",
)  # fmt: skip
"""What people look for in ADMIN mode. That mode takes any other installed module too."""

REFUSED_MODULES = (
    "telnetlib", "paramiko", "pty", "tty", "termios", "fcntl", "pipes", "posix", "pwd", "grp", "crypt", "ctypes",
    "multiprocessing", "threading", "asyncio", "concurrent",
)  # fmt: skip
"""Refused in both modes, each unless an administrator lifts it."""

SHOWN_NAME = 100
"""Characters of a module's name in a sentence."""

_REFUSED = frozenset(REFUSED_MODULES)
_NAMED = frozenset(ADMIN_MODULES + REFUSED_MODULES)
_SAFE = frozenset(SAFE_MODULES + ALWAYS_ALLOWED)


class ImportDenied(ImportError):
    """The rule says no. The message is the sentence for the user."""

    __module__ = "builtins"  # what tracebacks show before the name: nothing


class ImportRule:
    """The rule of one mode under one administrator's settings.

    Args:
        mode: ``RESTRICTED`` or ``ADMIN``.
        allowed: ``policy.modules``: what RESTRICTED scripts may import beside the built-in list.
        lifted: ``policy.lifted``: what is not refused although the built-in list refuses it.
    """

    __slots__ = ("_allowed", "_dotted_allowed", "_dotted_lifted", "_lifted", "_mode", "_restricted")

    def __init__(self, mode: str, allowed: frozenset[str], lifted: frozenset[str]) -> None:
        self._mode = mode
        self._restricted = mode == RESTRICTED
        self._allowed = _SAFE | allowed
        self._lifted = lifted
        self._dotted_allowed = _dotted(allowed)
        self._dotted_lifted = _dotted(lifted)

    def denial(self, name: str) -> str | None:
        """The sentence that refuses the module of the absolute name ``name``; None if it may be imported."""
        top = name.partition(".")[0]
        if top in _REFUSED and top not in self._lifted and not _covers(self._dotted_lifted, name):
            return self._refusal(name)
        if not self._restricted or top in self._allowed or _covers(self._dotted_allowed, name):
            return None
        return self._restriction(name, top)

    def names(self, name: str) -> bool:
        """Whether the built-in lists speak of the module: nobody's private helper is among those."""
        return name.partition(".")[0] in _NAMED

    def _refusal(self, name: str) -> str:
        top = name.partition(".")[0]
        also = ""
        if self._restricted and top not in self._allowed and not _covers(self._dotted_allowed, name):
            also = ", and RESTRICTED mode needs it in policy.modules too"
        return (
            f"The module {_shown(name)} may not be imported in {self._mode} mode: it is refused in both modes unless "
            f"an administrator names it in policy.lifted of settings.toml{also}."
        )

    def _restriction(self, name: str, top: str) -> str:
        installed = "" if top in ADMIN_MODULES or top in _REFUSED else ", if it is installed"
        return (
            f"The module {_shown(name)} may not be imported in RESTRICTED mode: run the script in ADMIN mode"
            f"{installed}, or have an administrator name it in policy.modules of settings.toml."
        )


def guarded_import(real_import: Callable[..., ModuleType], rule: ImportRule) -> Callable[..., ModuleType]:
    """The ``__import__`` for a script's builtins: asks ``rule`` about absolute names, then does as ``real_import``.

    It raises ``ImportDenied``.
    """
    denial = rule.denial
    plain = str.__str__  # a subclass of str may say one name to the rule and another to the import

    def guarded(
        name: str,
        globals: dict[str, Any] | None = None,  # noqa: A002 - the real one's names, for they may be used as keywords
        locals: dict[str, Any] | None = None,  # noqa: A002
        fromlist: Iterable[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and isinstance(name, str):
            name = plain(name)
            # C code that imports on behalf of a library, as datetime.strptime does, comes here by the globals of the
            # script that called it. It passes a list, where an import statement passes None or a tuple.
            problem = denial(name) if type(fromlist) is not list or rule.names(name) else None
            if problem is not None:
                raise ImportDenied(problem, name=name)
        return real_import(name, globals, locals, fromlist, level)

    return guarded


def _dotted(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in names if "." in name)


def _covers(entries: tuple[str, ...], name: str) -> bool:
    """Whether ``name`` is one of ``entries`` or below one of them."""
    return any(name == entry or name.startswith(entry + ".") for entry in entries)


def _shown(name: str) -> str:
    """``name`` as a part of one line: whatever a script passes to ``__import__``."""
    if len(name) > SHOWN_NAME:
        name = name[:SHOWN_NAME] + "…"
    return name if name.isprintable() else ascii(name)
