"""Which modules a script may import: the lists, the rule, its sentences, and the ``__import__`` that asks it.

A guard rail with a clear message, not a wall: the kernel is the wall. It judges the absolute name that the *script*
asks for. What other modules import is never judged, for they look ``__import__`` up in builtins of their own.

RESTRICTED takes the standard library of the interpreter that runs, without what could only fail there (``OUTSIDE``)
and what the module that Gatewright stays compatible with keeps for ADMIN (``os``, ``subprocess``, packages). A few
names are blocked in both modes until they are lifted (``BLOCKED``).

An entry of the settings covers the module it names, its private twins and everything below it. A dotted one covers no
more: ``xml.etree`` lets ``import xml.etree.ElementTree`` and ``from xml import etree`` pass, and not ``import xml``.
"""

from __future__ import annotations

import sys
from types import ModuleType

if sys.version_info >= (3, 10):
    STANDARD_NAMES = sys.stdlib_module_names
else:
    from . import standard_names

    STANDARD_NAMES = standard_names.NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

RESTRICTED = "RESTRICTED"

CLASSIC, DEFAULT, PRACTICAL = "classic", "default", "practical"
PRESETS = (CLASSIC, DEFAULT, PRACTICAL)
"""``policy.preset``: a short list; the standard library; that with ``PRACTICAL_MODULES``."""

CLASSIC_MODULES = (
    "math", "json", "datetime", "itertools", "collections", "decimal", "random", "re", "statistics", "time", "calendar",
    "uuid", "hashlib", "base64", "string", "textwrap", "difflib", "enum", "functools", "operator", "copy", "ast",
    "dataclasses", "typing",
)  # fmt: skip
"""What RESTRICTED scripts may import by the preset ``classic``."""

PRACTICAL_MODULES = ("os", "threading")
"""What the preset ``practical`` adds. ``threading`` is then lifted in ADMIN, too."""

ALWAYS_ALLOWED = ("gatewright", "lib", "__future__", "__main__")
"""The scripts' own API, the project's shared code, a word of the language that only looks like a module, the script."""

BLOCKED = ("threading", "ctypes", "telnetlib", "paramiko")
"""Blocked in both modes, each unless an administrator lifts it."""

TWINS = {
    "_thread": "threading", "_threading_local": "threading", "_ctypes": "ctypes", "_socket": "socket", "_ssl": "ssl",
    "_posixsubprocess": "subprocess", "_bootsubprocess": "subprocess", "_multiprocessing": "multiprocessing",
    "_posixshmem": "multiprocessing", "_crypt": "crypt", "_tkinter": "tkinter", "turtledemo": "turtle",
    "antigravity": "webbrowser", "posix": "os", "nt": "os",
}  # fmt: skip
"""Modules that are judged as another one: its private half, or nothing but a use of it."""

GONE = {
    **dict.fromkeys(("_bootlocale", "_peg_parser", "formatter", "parser", "symbol"), "3.10"),
    "binhex": "3.11",
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), "3.12"),
    **dict.fromkeys(
        (
            "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap", "msilib", "nis",
            "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
        ),
        "3.13",
    ),
}  # fmt: skip
"""Modules that were standard, with the first version of Python that has them no longer (PEP 594, PEP 632)."""

CAME = {"tomllib": "3.11", "annotationlib": "3.14", "compression": "3.14"}
"""Modules that are standard since a version of Python later than the oldest that scripts run on."""

_NETWORK = "a RESTRICTED run has no network; run the script in ADMIN mode"
_TERMINAL = "a run has no terminal; print what it has to say, or run the script in ADMIN mode"
_ACCOUNTS = "a RESTRICTED run does not see the accounts of this host; run the script in ADMIN mode"
_SCREEN = "a run has no screen to draw on; write a file and name it under files in the result"
_PACKAGES = "an administrator installs the packages for scripts; a RESTRICTED run can install none"
_OS = (
    "use pathlib, shutil or os.path, run the script in ADMIN mode, or have an administrator set policy.preset = "
    f'"{PRACTICAL}" in settings.toml'
)

OUTSIDE = {
    **dict.fromkeys(
        (
            "socket", "ssl", "http.client", "http.server", "urllib.request", "ftplib", "smtplib", "imaplib", "poplib",
            "nntplib", "xmlrpc", "socketserver", "telnetlib", "wsgiref.simple_server", "asyncore", "asynchat", "smtpd",
            "nis",
        ),
        _NETWORK,
    ),
    **dict.fromkeys(("pty", "tty", "termios"), _TERMINAL),
    **dict.fromkeys(("pwd", "grp", "spwd"), _ACCOUNTS),
    **dict.fromkeys(("webbrowser", "idlelib", "tkinter", "turtle"), _SCREEN),
    **dict.fromkeys(("ensurepip", "venv"), _PACKAGES),
    "multiprocessing": "a RESTRICTED run starts no processes; use concurrent.futures.ThreadPoolExecutor, or run the "
    "script in ADMIN mode",
    "pipes": "a RESTRICTED run starts no processes; use shlex.quote to quote, or run the script in ADMIN mode",
    "fcntl": "nobody else writes in the scratch folder of a run, so that it needs no locks; run the script in ADMIN "
    "mode to lock files that are shared",
    "crypt": "use hashlib.scrypt or hashlib.pbkdf2_hmac, or run the script in ADMIN mode",
    "resource": "set limits in the header of the script, under [tool.gatewright.limits], or run it in ADMIN mode",
    "syslog": "a RESTRICTED run does not reach the log of this host; use logging or print, which its record keeps",
    "ossaudiodev": "a RESTRICTED run reaches no devices; run the script in ADMIN mode",
    "ctypes": "use struct for binary data, or run the script in ADMIN mode",
}  # fmt: skip
"""What reaches outside of a run by design, so that it could only fail in RESTRICTED, and what to do instead."""

RESERVED = {"os": _OS, "subprocess": "a RESTRICTED run starts no processes; run the script in ADMIN mode"}
"""Standard modules that the module we stay compatible with keeps for ADMIN mode, and what to do instead."""

NETWORK_PACKAGES = ("requests", "urllib3", "httpx", "aiohttp", "websockets", "paramiko")
"""Packages whose refusal sends nobody to ``policy.modules``: without a network they are of no use."""

STANDARD, INSTALLED, MISSING = "standard", "installed", "missing"
"""Where the scripts' interpreter has a module from."""

SHOWN_NAME = 100
"""Characters of a module's name in a sentence."""

_NOT_CLASSIC = (
    f'policy.preset = "{CLASSIC}" of settings.toml leaves a short list; run the script in ADMIN mode, or have an '
    "administrator name it in policy.modules there"
)
_BY_NAME = "run the script in ADMIN mode, or have an administrator name it in policy.modules of settings.toml"
_THREADING = (
    "use concurrent.futures or asyncio, or have an administrator name it in policy.lifted of settings.toml or set "
    f'policy.preset = "{PRACTICAL}" there'
)

_REFUSED = {**OUTSIDE, **RESERVED}
_PARENTS = frozenset(name.partition(".")[0] for name in _REFUSED if "." in name)
"""Modules that may be imported although parts of them may not."""

_OS_PATH = "os.path"


class ImportDenied(ModuleNotFoundError):
    """The rule says no. The message is the sentence for the user.

    To the script the module is not there, so that ``except ModuleNotFoundError`` finds what it does without.
    """

    __module__ = "builtins"  # what tracebacks show before the name: nothing


class ImportRule:
    """The rule of one mode under one administrator's settings.

    Args:
        mode: ``RESTRICTED`` or ``ADMIN``.
        allowed: ``policy.modules``: what RESTRICTED scripts may import beside what the preset gives them.
        lifted: ``policy.lifted``: what is not blocked although ``BLOCKED`` has it.
        preset: ``policy.preset``, one of ``PRESETS``.
    """

    __slots__ = (
        "_allowed",
        "_classic",
        "_dotted_allowed",
        "_dotted_lifted",
        "_free",
        "_lifted",
        "_mode",
        "_restricted",
    )

    def __init__(self, mode: str, allowed: frozenset[str], lifted: frozenset[str], preset: str = DEFAULT) -> None:
        if preset == PRACTICAL:
            allowed, lifted = allowed.union(PRACTICAL_MODULES), lifted | {"threading"}
        self._mode = mode
        self._restricted = mode == RESTRICTED
        self._classic = preset == CLASSIC
        self._allowed = allowed.union(ALWAYS_ALLOWED)
        self._lifted = lifted
        self._dotted_allowed = _dotted(allowed)
        self._dotted_lifted = _dotted(lifted)
        known = STANDARD_NAMES | self._allowed
        # Whose first name says that all of it may be imported: nearly every import ends there.
        self._free = frozenset(
            top for top in known if self._judge(top) is None and (top in self._allowed or top not in _PARENTS)
        )

    @property
    def only_path(self) -> bool:
        """Whether scripts get ``os.path`` and nothing else of ``os``."""
        return self._judge("os") is not None and self._judge(_OS_PATH) is None

    def denial(self, name: str, parts: Iterable[str] = (), origin: str = "") -> str | None:
        """The sentence that refuses the module of the absolute name ``name``; None if it may be imported.

        Args:
            name: The whole name, as the import statement has it.
            parts: What ``from name import …`` takes out of it. If all of that may be imported by itself, it may be so,
                too.
            origin: ``STANDARD``, ``INSTALLED`` or ``MISSING``, as the scripts' interpreter said; nothing if this is it.
        """
        if not origin and name.partition(".")[0] in self._free:
            return None
        if not name:
            return None  # Python says it: "Empty module name"
        problem = self._judge(name, origin)
        if not parts or (problem is None and name not in _PARENTS):
            return problem
        of_parts = [self._judge(f"{name}.{part}", origin) for part in parts]
        if problem is not None:
            return problem if any(of_parts) else None
        return next(filter(None, of_parts), None)

    def names(self, name: str) -> bool:
        """Whether the built-in lists speak of the module: nobody's private helper is among those."""
        return any(each in _REFUSED or each in BLOCKED or each in TWINS for each in _entries(name))

    def _judge(self, name: str, origin: str = "") -> str | None:
        top, two = _entries(name)
        stands_for = TWINS.get(top, top)
        allowed = top in self._allowed or stands_for in self._allowed or _covers(self._dotted_allowed, name)
        lifted = top in self._lifted or stands_for in self._lifted or _covers(self._dotted_lifted, name)
        if stands_for in BLOCKED and not lifted:
            return self._blocked(name, origin or origin_of(top), allowed=allowed)
        if allowed or not self._restricted:
            return None
        origin = origin or origin_of(top)
        if origin == MISSING:
            return _missing(name)
        if origin != STANDARD:
            return self._sentence(name, _NETWORK if top in NETWORK_PACKAGES else _BY_NAME)
        instead = _REFUSED.get(two) or _REFUSED.get(stands_for)
        if self._classic:
            if top in CLASSIC_MODULES:
                return None
            return self._sentence(name, _NOT_CLASSIC if instead in (None, _OS) else instead)
        return None if instead is None or two == _OS_PATH else self._sentence(name, instead)

    def _blocked(self, name: str, origin: str, *, allowed: bool) -> str:
        """The sentence about a module of ``BLOCKED`` or the twin of one."""
        top, _ = _entries(name)
        stands_for = TWINS.get(top, top)
        if origin == MISSING:
            return _missing(name)
        if stands_for == "threading" and not self._classic:
            return self._sentence(name, _THREADING)
        lists = "policy.lifted"
        if self._restricted and not allowed:
            if stands_for in NETWORK_PACKAGES or OUTSIDE.get(stands_for) == _NETWORK:
                return self._sentence(name, f"{_NETWORK}, after an administrator named it in {lists} of settings.toml")
            lists = "policy.lifted and policy.modules"
        use = "use struct for binary data, or " if stands_for == "ctypes" else ""
        return self._sentence(name, f"{use}have an administrator name it in {lists} of settings.toml")

    def _sentence(self, name: str, instead: str) -> str:
        return f"The module {_shown(name)} may not be imported in {self._mode} mode: {instead}."


def guarded_import(real_import: Callable[..., ModuleType], rule: ImportRule) -> Callable[..., ModuleType]:
    """The ``__import__`` for a script's builtins: asks ``rule`` about absolute names, then does as ``real_import``.

    Where the rule gives ``os.path`` alone, ``import os.path`` binds the name ``os`` to a module that has nothing else.

    It raises ``ImportDenied``.
    """
    denial = rule.denial
    plain = str.__str__  # a subclass of str may say one name to the rule and another to the import
    narrow = _OnlyPath() if rule.only_path else None

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
            judged = type(fromlist) is not list or rule.names(name)
            problem = denial(name, fromlist or ()) if judged else None
            if problem is not None:
                raise ImportDenied(problem, name=name)
            if narrow is not None and (name == "os" or (name == _OS_PATH and not fromlist)):
                return narrow
        return real_import(name, globals, locals, fromlist, level)

    return guarded


def origin_of(top: str) -> str:
    """Where this interpreter has a module from: ``STANDARD``, ``INSTALLED`` or ``MISSING``. Imports nothing of it.

    A standard module of another system (``winreg``) is standard, too: the import itself says best that it is not here.
    """
    if top in STANDARD_NAMES or top in ALWAYS_ALLOWED:
        return STANDARD
    if top in sys.modules:
        return INSTALLED
    from importlib.machinery import PathFinder  # small, and for refusals only

    return MISSING if not top or PathFinder.find_spec(top) is None else INSTALLED


class _OnlyPath(ModuleType):
    """What the name ``os`` is bound to by ``import os.path`` where ``os`` itself may not be imported."""

    def __init__(self) -> None:
        super().__init__("os")
        self.path = sys.modules[_OS_PATH]

    def __getattr__(self, name: str) -> object:
        told = "" if name.startswith("__") else f": import os.path gives os.path alone in RESTRICTED mode; {_OS}"
        raise AttributeError(f"module 'os' has no attribute {name!r} here{told}")


def _missing(name: str) -> str:
    """The sentence about a module that is nowhere: what would allow it is no advice before it is there."""
    top, _ = _entries(name)
    if top in CAME:
        return (
            f"The module {_shown(name)} came with Python {CAME[top]}, and this one is older: ask for that version with "
            f'requires-python = ">={CAME[top]}" in the header of the script.'
        )
    is_not = f"left the standard library with Python {GONE[top]} and " if top in GONE else ""
    then = "an administrator can name it in policy.modules of settings.toml for RESTRICTED mode"
    if top in BLOCKED:
        then = "an administrator has to name it in policy.lifted of settings.toml"
    elif top in NETWORK_PACKAGES or top in OUTSIDE:
        then = "a script can import it in ADMIN mode"
    return f"The module {_shown(name)} {is_not}is not installed for scripts here; once it is, {then}."


def _entries(name: str) -> tuple[str, str]:
    """The first part of a name, and the first two: what the built-in lists have is never longer."""
    first, dot, rest = name.partition(".")
    return first, f"{first}.{rest.partition('.')[0]}" if dot else first


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
