"""What a repository could make git run, and whether its owner has said that it may.

Reading a repository never runs anything of it. Writing in one that names programs is another matter: its filters decide
what is stored and its hooks whether a commit may be, so leaving them out would be wrong as well. Such a repository is
written to only after the owner has seen what it names and trusted exactly that.

Trust lies in ``.gatewright``, outside of what the repository can hold, under the path of the repository's git folder.
What was seen is kept as a hash of the settings, hooks and attributes, and of the folder's own identity, so that nobody
can bring along a file that trusts their repository. Attribute files among the project's files are not part of it: they
can only choose among filters that are. Neither are programs that a hook calls: whoever trusts it trusts them too.

Where the git folder leads elsewhere is looked at, too: git writes through links, so ``COMMIT_EDITMSG`` as a link to any
file of the owner's would be overwritten by the message of the next commit. git makes no such links itself, except in
worktrees and submodules, which are elsewhere as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from store import disk
from store.errors import StoreError, from_os_error
from store.git.command import GitCommand, demand, shown
from store.sizes import describe_size

TRUST_FILE = "git-trust.json"

MAX_HOOKS = 64
MAX_HOOK = 4 << 20
"""Bytes of a hook, which is hashed whole."""

_HARMLESS = re.compile(
    r"""
    core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol
        |safecrlf|abbrev|quotepath|untrackedcache|preloadindex|sharedrepository|sparsecheckout|sparsecheckoutcone
        |compression|bigfilethreshold|commitgraph|multipackindex)
    | (user|author|committer)\.(name|email) | user\.useconfigonly
    | remote\..+\.(url|pushurl|fetch|push|prune|prunetags|tagopt|mirror)
    | branch\..+\.(remote|pushremote|merge|rebase|description) | branch\.(autosetupmerge|autosetuprebase|sort)
    | init\.defaultbranch | push\.(default|autosetupremote|followtags) | pull\.(rebase|ff) | fetch\.(prune|prunetags)
    | merge\.(ff|conflictstyle|log|renames) | rebase\.(autostash|autosquash) | rerere\.enabled
    | diff\.(algorithm|renames|context|noprefix|mnemonicprefix|colormoved) | log\.(date|decorate)
    | status\.(showuntrackedfiles|short|branch) | color\.\w+ | color\.\w+\.\w+ | advice\.\w+ | index\.\w+
    | submodule\..+\.(url|active|branch) | extensions\.(objectformat|worktreeconfig) | gui\.\w+
    """,
    re.VERBOSE | re.DOTALL,
)
"""Settings that run nothing. Whatever is not here counts as if it could."""


MAX_ENTRIES = 20_000
"""Files and folders that are looked at, objects apart."""

_WRITTEN_IN_PLACE = (b"COMMIT_EDITMSG", b"logs/")
"""Everything else git writes beside itself and renames."""

_CONTENT = (b"modules", b"worktrees", b"lfs", b"rr-cache")
"""Folders that are not walked through: what is in there is replaced, never written into."""


@dataclass(frozen=True, slots=True)
class RepositoryProgram:
    """Something of a repository that git could run, or be led by.

    Attributes:
        kind: ``setting``, ``hook`` or ``place``: a name in the git folder that leads elsewhere.
        name: Of the setting, the hook or the place.
        value: Of the setting; of a hook the start of its hash; of a place where it leads.
    """

    kind: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Programs:
    """All of it, and a hash that stands for exactly this."""

    git_folder: str
    found: tuple[RepositoryProgram, ...]
    fingerprint: str


class TrustFile:
    """The repositories that the owner trusts, in ``git-trust.json`` of a project's private folder."""

    def __init__(self, private: Path) -> None:
        self._private = private

    def fingerprint(self, git_folder: str) -> str | None:
        """What was trusted of the repository; None when nothing was."""
        entry = self._read().get(git_folder)
        return entry.get("fingerprint") if isinstance(entry, dict) else None

    def knows_any(self) -> bool:
        """Whether anything is trusted at all; most projects need no trust, and are not looked at for it."""
        return os.path.exists(self._private / TRUST_FILE)

    def trust(self, git_folder: str, fingerprint: str, uid: int) -> None:
        """Remember durably that the account ``uid`` trusts the repository as it is.

        Raises:
            StoreError: The disk did not take it.
        """
        entries = self._read()
        entries[git_folder] = {"fingerprint": fingerprint, "uid": uid, "at": int(time.time())}
        self._write(entries)

    def forget(self, git_folder: str) -> None:
        """Trust the repository no longer."""
        entries = self._read()
        if entries.pop(git_folder, None) is not None:
            self._write(entries)

    def _read(self) -> dict[str, object]:
        """What is remembered; a file that cannot be understood is no trust in anything."""
        try:
            found = json.loads((self._private / TRUST_FILE).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, entries: dict[str, object]) -> None:
        data = json.dumps(entries, indent=1, sort_keys=True).encode() + b"\n"
        try:
            with disk.open_folder(self._private) as folder:
                disk.replace_file(folder, TRUST_FILE, data, 0o600)
        except OSError as error:
            raise from_os_error(error, "remember the trust in this repository") from error


def programs(git: GitCommand) -> Programs:
    """What the repository could make git run. Finding it out runs nothing.

    Raises:
        StoreError: The repository cannot be read, or has more hooks than anybody would look at.
    """
    asked = ["--absolute-git-dir", "--git-common-dir", "--git-path", "hooks", "--git-path", "info/attributes"]
    places = demand(git.run(["rev-parse", *asked], hooks=True)).split(b"\n")
    if len(places) != 5:
        raise StoreError("The repository's path holds a line break; git is not used on it.")
    root = os.fsencode(git.root)
    git_folder, common, hooks, attributes = (os.path.join(root, place) for place in places[:4])
    settings = _settings(git)
    hashes = _hooks(hooks)
    found = [RepositoryProgram("setting", shown(key), shown(value)) for key, value in settings]
    found += [RepositoryProgram("hook", shown(name), digest[:12]) for name, runs, digest in hashes if runs]
    try:
        links = sorted(elsewhere(root, git_folder, common))
    except OSError as error:
        raise from_os_error(error, "look through the repository's .git folder") from error
    found += [RepositoryProgram("place", shown(name), shown(target)) for name, target in links]
    fingerprint = _fingerprint(git_folder, settings, hashes, attributes, links)
    return Programs(shown(git_folder), tuple(found), fingerprint)


def _settings(git: GitCommand) -> list[tuple[bytes, bytes]]:
    """Settings of the repository and of what it includes that could run something, in their order."""
    answer = demand(git.run(["config", "--null", "--show-scope", "--list"]))
    texts = answer.split(b"\0")
    pairs = [(scope, *entry.partition(b"\n")) for scope, entry in zip(texts[::2], texts[1::2], strict=False)]
    # Of the scopes only the repository's are left: the others are not read, and "command" is what we override.
    return [
        (key, value) for scope, key, _, value in pairs if scope != b"command" and not _HARMLESS.fullmatch(shown(key))
    ]


def _hooks(folder: bytes) -> list[tuple[bytes, bool, str]]:
    """Each file in the hooks' folder: its name, whether git would run it, the hash of its content."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.endswith(b".sample"))
    except OSError:
        return []
    if len(names) > MAX_HOOKS:
        raise StoreError(f"The repository has {len(names)} hooks; git is not used to write in it.")
    found = [(name, _hook(os.path.join(folder, name))) for name in names]
    return [(name, hook[0], hook[1]) for name, hook in found if hook is not None]


def _hook(path: bytes) -> tuple[bool, str] | None:
    """Whether a file can be run, and its hash; None when it is no file. Links are followed, as git does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > MAX_HOOK:
            raise StoreError(f"The hook {shown(path)} is larger than {describe_size(MAX_HOOK)}.")
        return bool(status.st_mode & 0o111), hashlib.sha256(file.read(MAX_HOOK)).hexdigest()


def _fingerprint(
    git_folder: bytes,
    settings: list[tuple[bytes, bytes]],
    hooks: list[tuple[bytes, bool, str]],
    attributes: bytes,
    links: list[tuple[bytes, bytes]],
) -> str:
    identity = os.stat(git_folder)
    seen = [
        [identity.st_dev, identity.st_ino],
        [[shown(key), shown(value)] for key, value in settings],
        [[shown(name), runs, digest] for name, runs, digest in hooks],
        _hook(attributes),
        [[shown(name), shown(target)] for name, target in links],
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def elsewhere(root: bytes, git_folder: bytes, common: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names in the git folder that lead elsewhere, each with where it leads.

    Args:
        root: The project's folder.
        git_folder: As git found it.
        common: The folder with objects and settings: another one in a linked worktree.

    Raises:
        StoreError: There is too much to look at.
    """
    own = os.path.join(os.path.realpath(root), b".git")
    for folder in dict.fromkeys((git_folder, common)):
        if os.path.realpath(folder) != own:
            yield b".git", folder
            return
    for seen, (name, path) in enumerate(_names(git_folder)):
        if seen > MAX_ENTRIES:
            raise StoreError("The repository's .git folder has too many files; git is not used to write in it.")
        with contextlib.suppress(FileNotFoundError):  # another git is at work
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                yield name, os.readlink(path)
            elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and name.startswith(_WRITTEN_IN_PLACE):
                yield name, b"(a file with another name, too)"


def _names(git_folder: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every name in the git folder, content apart, with its path; folders before what is in them."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(git_folder, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                yield name, entry.path
                if folder != b"objects" and name not in _CONTENT and entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
