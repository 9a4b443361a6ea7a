"""Named gateways of a user: where each is, which token and authorities are for it, and which groups it is in.

They stand in ``gateways.toml`` in the user's settings folder (XDG Base Directory Specification), in no project::

    [gateways.gw-01]
    url = "https://gw-01:9089"
    token_file = "~/.config/gatewright/gw-01.token"
    ca_file = "/etc/pki/plant-ca.pem"
    groups = ["plant-b"]

    [gateways.here]
    project = "/srv/plant-a"

A gateway is at a ``url``, in a ``project`` of this host (a folder, or ``@ID`` of a shared one), or behind a ``socket``,
such as one that ssh(1) forwards.

Other accounts must not be able to write the file: who can, decides which host gets a token. It is changed as text, so
that comments and order stay; what the change makes is read again before it replaces the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.client.starter import LaunchError
from engine.user_folders import settings_home

if TYPE_CHECKING:
    from engine.client.target import Target

FILE = "gateways.toml"
TABLE = "gateways"

NAME_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""Of gateways and groups: nothing that a shell, a list with commas or the mark of a group would take for its own."""

GROUP_MARK = "@"
EVERY = "all"
"""The group of every gateway; the file can give the name to no other."""

MAX_FILE = 1 << 20
MODE = 0o600
PLACES = ("url", "project", "socket")
PATHS = ("token_file", "ca_file", "socket")
"""Keys whose value begins with ``/`` or ``~``: a command's current folder means nothing to the file."""

LOCK_PATIENCE, LOCK_PAUSE = 10.0, 0.02
"""Seconds for which another command that changes the file is waited for, and between two looks."""

WRITE_ONE = "gatewright help gateways shows how the file is written."


@dataclass(frozen=True, slots=True)
class Gateway:
    """One entry of the file.

    Attributes:
        name: What the user calls it.
        groups: Names of groups, without ``@``.
    """

    name: str
    url: str = ""
    token_file: str = ""
    ca_file: str = ""
    project: str = ""
    socket: str = ""
    groups: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, as the file has it."""
        return self.url or self.project or self.socket

    @property
    def is_folder(self) -> bool:
        """Whether it is a project's folder of this host, which has files here."""
        return bool(self.project) and not self.project.startswith("@")

    @property
    def identity(self) -> tuple[str, str]:
        """Where it is and as whom the caller comes, however the file writes it: two names of one gateway have one."""
        if not self.url:
            place = self.socket or self.project
            return (os.path.realpath(os.path.expanduser(place)) if self.socket or self.is_folder else place), ""
        from engine.client.engine_url import parse_url

        try:
            place = parse_url(self.url).base
        except LaunchError:
            place = self.url
        return place, os.path.realpath(os.path.expanduser(self.token_file))

    def target(self, *, become: bool = True) -> Target:
        """Return how it is reached. Nothing is asked yet.

        Args:
            become: Root goes on as the account that owns the project's folder. For good: so it is for one gateway
                only, and else root stays root.

        Raises:
            LaunchError: What is written there names nothing that could be reached.
        """
        if self.url:
            from engine.client.remote import remote_target

            return remote_target(self.url, self.token_file, self.ca_file or None)
        if self.socket:
            from engine.client.socket_target import SocketTarget

            return SocketTarget(Path(self.socket).expanduser(), self.name)
        if not self.is_folder:
            from engine.client.shared import SharedTarget

            return SharedTarget(self.project.removeprefix("@"))
        from engine.client.finding import find_project
        from engine.client.launch import LocalTarget
        from engine.client.ownership import other_account
        from engine.paths import EnginePaths

        folder = find_project(self.project, tell=lambda _: None)
        if not become and other_account(EnginePaths(folder)) is not None:
            from engine.client.socket_target import VisitedTarget

            return VisitedTarget(folder)
        return LocalTarget(folder, become=become)


Entries = Mapping[str, Gateway]


@dataclass(frozen=True, slots=True)
class Gateways:
    """The file as it was read.

    Attributes:
        path: Where it is, or would be.
    """

    path: Path
    by_name: Entries

    @classmethod
    def load(cls, path: Path | None = None) -> Gateways:
        """Read the user's file; without one there are no gateways.

        Raises:
            LaunchError: It cannot be read or is wrong: the sentence names file, gateway, key and the nearest valid one.
        """
        path = path or settings_file()
        return cls(path, _parsed(path, _text(path)))

    @property
    def groups(self) -> Mapping[str, list[str]]:
        """The names of each group's gateways."""
        found: dict[str, list[str]] = {}
        for gateway in self.by_name.values():
            for group in gateway.groups:
                found.setdefault(group, []).append(gateway.name)
        return found

    def get(self, name: str) -> Gateway:
        """Return the gateway of that name.

        Raises:
            LaunchError: There is none; the hint names the nearest.
        """
        if name in self.by_name:
            return self.by_name[name]
        if not self.by_name:
            raise _wrong(
                f"There is no gateway {name!r}: {self.path} names none yet.",
                f"gatewright gateways add {name if NAME_FORM.fullmatch(name) else 'NAME'} --url https://HOST:9089 "
                "--token-file FILE",
            )
        hint = "gatewright gateways list shows them."
        if name.removeprefix(GROUP_MARK) in self.groups:
            hint = f"{name.removeprefix(GROUP_MARK)} is a group: --on {GROUP_MARK}{name.removeprefix(GROUP_MARK)}"
        raise _wrong(f"There is no gateway {name!r} in {self.path}.", _nearest(name, self.by_name) + hint)

    def chosen(self, selection: str) -> list[Gateway]:
        """Return those that ``NAME,NAME|@group`` names, each once, in the order of the file.

        Raises:
            LaunchError: A name or a group is not there, or nothing is chosen.
        """
        names: set[str] = set()
        for part in filter(None, map(str.strip, selection.split(","))):
            names.update(self._group(part) if part.startswith(GROUP_MARK) else [self.get(part).name])
        if not names:
            raise _wrong("No gateway is named.", "Write names with commas between them, or @GROUP.")
        return [gateway for name, gateway in self.by_name.items() if name in names]

    def asked(self, selection: str, tell: Callable[[str], None]) -> list[Gateway]:
        """Return what ``chosen`` does, each gateway under one of its names only: what is done to it is done once.

        Args:
            selection: As for ``chosen``.
            tell: Hears of the other names, a sentence each.

        Raises:
            LaunchError: As ``chosen``.
        """
        found: dict[tuple[str, str], Gateway] = {}
        for gateway in self.chosen(selection):
            first = found.setdefault(gateway.identity, gateway)
            if first is not gateway:
                tell(f"{gateway.name} is another name of {first.name}, which is asked once")
        return list(found.values())

    def _group(self, part: str) -> Iterable[str]:
        groups = {**self.groups, **({EVERY: list(self.by_name)} if self.by_name else {})}
        name = part.removeprefix(GROUP_MARK)
        if name not in groups:
            raise _wrong(
                f"There is no group {part} in {self.path}.",
                _nearest(name, groups, GROUP_MARK) + f'A gateway is put in one: groups = ["{name or "plant-b"}"]',
            )
        return groups[name]

    def add(self, gateway: Gateway) -> None:
        """Write one more gateway at the end of the file, which is made if there is none.

        Raises:
            LaunchError: There is one of that name, something of it is wrong, or the file cannot be written. Nothing is
                changed then.
        """

        def added(text: str, now: Entries) -> str:
            if gateway.name in now:
                raise _wrong(
                    f"There is a gateway {gateway.name!r} already, at {now[gateway.name].place}.",
                    f"Remove it first: gatewright gateways remove {gateway.name}",
                )
            _checked(self.path, gateway.name, _as_table(gateway))
            lead = "" if not text else "\n" if text.endswith("\n") else "\n\n"
            return text + lead + _block(gateway)

        _rewrite(self.path, added, lambda now: {**now, gateway.name: gateway})

    def remove(self, name: str) -> None:
        """Take a gateway out of the file; its token's file stays.

        Raises:
            LaunchError: There is none of that name, or the file cannot be changed. Nothing is changed then.
        """

        def removed(text: str, now: Entries) -> str:
            Gateways(self.path, now).get(name)
            return _without(text, name)

        _rewrite(self.path, removed, lambda now: {key: one for key, one in now.items() if key != name})


def settings_file() -> Path:
    """Return where the user's gateways are written."""
    return settings_home() / "gatewright" / FILE


def _wrong(sentence: str, hint: str | None = None) -> LaunchError:
    return LaunchError(sentence, hint, exit_code=2)


def _nearest(name: str, names: Iterable[str], mark: str = "") -> str:
    import difflib

    near = difflib.get_close_matches(name, list(names), n=2)
    return f"Did you mean {' or '.join(mark + one for one in near)}? " if near else ""


def _text(path: Path) -> str:
    """Return the file's text; none where there is no file.

    Raises:
        LaunchError: It cannot be read, is no text, or others could have written it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}.") from None
    try:
        _check_owner(path, os.fstat(fd))
        with open(fd, "rb", closefd=False) as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}.") from None
    finally:
        os.close(fd)
    if len(data) > MAX_FILE:
        raise _wrong(f"{path} is larger than {MAX_FILE >> 20} MiB: it is no list of gateways.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"{path} is not UTF-8 (byte {error.start}).") from None


def _check_owner(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise _wrong(f"{path} is no ordinary file.")
    if info.st_uid not in (0, os.geteuid()):
        raise _wrong(
            f"{path} belongs to another account, which could send your tokens anywhere.", "Use a file of your own."
        )
    if info.st_mode & 0o022:
        raise _wrong(
            f"Other accounts may write to {path}, and so could send your tokens anywhere.",
            f"Close it to them: chmod 600 {path}",
        )


def _parsed(path: Path, text: str) -> dict[str, Gateway]:
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(f"{path} is no valid TOML: {error}.", WRITE_ONE) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists without end
        raise _wrong(f"{path} holds what no list of gateways has.", WRITE_ONE) from None
    for key in found:
        if key != TABLE:
            raise _wrong(
                f"{path}: {key!r} is not known there.", f"Each gateway begins with [{TABLE}.NAME]. {WRITE_ONE}"
            )
    tables = found.get(TABLE, {})
    if not isinstance(tables, dict):
        raise _wrong(f"{path}: {TABLE} is no table.", WRITE_ONE)
    return {name: _checked(path, name, table) for name, table in tables.items()}


def _checked(path: Path, name: str, table: object) -> Gateway:
    """Return the gateway that a table of the file describes.

    Raises:
        LaunchError: Something of it is wrong.
    """
    where = f"{path}, [{TABLE}.{name}]"
    if not NAME_FORM.fullmatch(name):
        raise _wrong(
            f"{path}: {name!r} cannot be the name of a gateway.",
            "A name has up to 64 letters, digits, ., - and _, and begins with a letter or digit.",
        )
    if not isinstance(table, dict):
        raise _wrong(f"{path}: {TABLE}.{name} is no table.", WRITE_ONE)
    known = [field.name for field in fields(Gateway) if field.name != "name"]
    for key, value in table.items():
        if key not in known:
            raise _wrong(f"{where}: {key!r} is not known.", _nearest(key, known) + f"Known are {', '.join(known)}.")
        if key != "groups" and not (isinstance(value, str) and value.strip() == value != "" and value.isprintable()):
            raise _wrong(f"{where}: {key} is no line of text.", f'Write {key} = "...".')
    gateway = Gateway(name, **{**table, "groups": _groups(where, table.get("groups", []))})
    _check_places(where, gateway)
    for key in (*PATHS, *(["project"] if gateway.is_folder else [])):
        value = getattr(gateway, key)
        if value and not value.startswith(("/", "~/")):
            raise _wrong(f"{where}: {key} is no whole path.", "A path begins with / or ~/.")
    return gateway


def _groups(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(f"{where}: groups is no list.", 'Write groups = ["plant-b"].')
    for one in value:
        if not isinstance(one, str) or not NAME_FORM.fullmatch(one) or one == EVERY:
            raise _wrong(
                f"{where}: {one!r} cannot be the name of a group.",
                f"{GROUP_MARK}{EVERY} is every gateway without being written down."
                if one == EVERY
                else "A name has up to 64 letters, digits, ., - and _; it is written without @ here.",
            )
    return tuple(dict.fromkeys(value))


def _check_places(where: str, gateway: Gateway) -> None:
    named = [key for key in PLACES if getattr(gateway, key)]
    if len(named) != 1:
        what = f"names {' and '.join(named)}" if named else "does not say where the gateway is"
        raise _wrong(f"{where} {what}.", f"It takes one of {', '.join(PLACES)}.")
    for key in ("token_file", "ca_file"):
        if getattr(gateway, key) and not gateway.url:
            raise _wrong(
                f"{where}: {key} belongs to a url.", "Behind a project or a socket the kernel says who you are."
            )
    if gateway.url and not gateway.token_file:
        raise _wrong(f"{where}: the engine at {gateway.url} takes a token.", 'Write token_file = "FILE".')


def _as_table(gateway: Gateway) -> dict[str, Any]:
    """Return what the file has of a gateway: the keys that say something."""
    found = {field.name: getattr(gateway, field.name) for field in fields(Gateway) if field.name != "name"}
    return {key: list(value) if key == "groups" else value for key, value in found.items() if value}


def _block(gateway: Gateway) -> str:
    import json

    # Of what can be printed JSON writes the basic strings of TOML 1.0, if it is not to escape what is not ASCII.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in _as_table(gateway).items()]
    return "\n".join([f"[{TABLE}.{_quoted(gateway.name)}]", *lines, ""])


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


_HEADER = re.compile(r"^[ \t]*\[[ \t]*([^\[\]\n]*?)[ \t]*\][ \t]*(?:#.*)?\r?$", re.MULTILINE)


def _without(text: str, name: str) -> str:
    """Return the text without a gateway's table: from its header to the comments that stand above the next one.

    A table that is written in another way stays; the caller sees that, since it reads the result again.
    """
    for header in _HEADER.finditer(text):
        parts = [part.strip().strip("\"'") for part in header[1].split(".", 1)]
        if parts == [TABLE, name]:
            following = _HEADER.search(text, header.end())
            end = len(text) if following is None else following.start()
            kept = _comments_above(text[header.end() : end]) if following is not None else ""
            before = text[: header.start()]
            return (
                before + kept + text[end:] if following is not None else before.rstrip() + "\n" * bool(before.strip())
            )
    return text


def _comments_above(body: str) -> str:
    """Return the lines at the end of a table's text that are about the next one: comments right above its header."""
    lines = body.splitlines(keepends=True)
    first = len(lines)
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return "".join(lines[first:])


def _rewrite(path: Path, change: Callable[[str, Entries], str], expected: Callable[[Entries], Entries]) -> None:
    """Change the file's text as one step that others see whole or not at all.

    Args:
        path: The file; a symbolic link stays one.
        change: Makes the new text of the old one and of the gateways in it.
        expected: Makes the gateways that the new text must hold.

    Raises:
        LaunchError: The new text would hold others, or cannot be written. Nothing is changed then.
    """
    place = Path(os.path.realpath(path))
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in {path.parent, place.parent}:
            if folder.stat().st_uid != os.geteuid():
                # As root with another account's HOME: its links would lead our writing anywhere.
                raise _wrong(
                    f"{folder} belongs to another account.", "Call this as the account whose gateways they are."
                )
        with _locked(place.parent):
            text = _text(place)
            now = _parsed(path, text)
            new = change(text, now)
            try:
                holds = _parsed(path, new)
            except LaunchError:
                holds = None
            if holds != expected(now):
                raise _wrong(
                    f"{path} is written in a way that this command cannot change without harm.",
                    "Change it with an editor: each gateway is a table of its own there.",
                )
            _replace(place, new)
    except OSError as error:
        raise _wrong(f"{path} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two commands that change the file at the same time do it one after the other."""
    import fcntl

    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Who may read the folder can hold its lock, so it is not waited for without end.
                if time.monotonic() > deadline:
                    raise _wrong(
                        f"{folder} is locked by another command, which does not end.", "See who has it open: fuser DIR"
                    ) from None
                time.sleep(LOCK_PAUSE)
            except OSError:  # a file system without locks: the rename still is one step
                break
            else:
                break
        yield
    finally:
        os.close(fd)


def _replace(place: Path, text: str) -> None:
    import tempfile

    fd, made = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)  # 0600
    try:
        with open(fd, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(fd)
        os.replace(made, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
