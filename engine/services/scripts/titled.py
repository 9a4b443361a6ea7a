"""Scripts by their titles, for clients to which the title is the identity and the folder an attribute.

A title is unique, whatever its case. Where files made by other means share one, neither is taken for the other: a list
shows each of them by its path, and what names both is refused with the paths of both.

Who may write some scripts only must not take over the calls to others by what he calls his own: a path goes before
every title, what has a ``/`` or ends in ``.py`` is never a title, and between two titles, or a title and an id, nothing
is chosen. A save refuses to make a name mean something else; a header that comes by another way can at most make it
ambiguous.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.models.scripts import DeleteRequest, RenameRequest, ScriptInfo
from engine.registry.scripts import SCRIPTS_DELETE, SCRIPTS_SAVE
from engine.services.access import Actor, ServiceError, require_script
from engine.services.operations import may
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.service import ScriptService, refused
from engine.services.versioned_writer import VersionedWriter, conflict
from store.errors import StoreError
from store.files.names import SUFFIX, folded, path_problem, script_path, shown
from store.files.scripts import ScriptFiles
from store.frontmatter.block import Block, with_header_of
from store.frontmatter.edit import apply_changes
from store.frontmatter.keys import own_table
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import MAX_TEXT, MAX_TITLE, clean, document_of, parse
from store.state.rows import VersionRow
from store.state.versions import Versions

NO_AUTHOR = "Unknown"
NO_VERSION = "1.0"
"""What these clients show where a script does not say it."""

REVIVED_WITHIN = 60.0
"""Seconds after a deletion in which a save of the same text is the second half of a rename."""

ATTEMPTS = 8
"""How often a save looks again when the script changes under it."""

MAX_NAMES = 1_000
"""File names that are tried for a new script."""

MAX_FOUND = 10_000
"""Names whose scripts are remembered."""

FILE_NAME = 60
"""Characters of a file name that is made from a title, before its suffix."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What a script's header says to people."""

    description: str = ""
    author: str = NO_AUTHOR
    version: str = NO_VERSION


@dataclass(frozen=True, slots=True)
class TitledScript:
    """One script as these clients see it.

    Attributes:
        name: Its title; its path where another script has the same title.
        created: The earliest time that is known of it, in seconds since the epoch.
    """

    info: ScriptInfo
    name: str
    stated: Stated
    created: float

    @property
    def folder(self) -> str:
        return folder_of(self.info.path)


@dataclass(frozen=True, slots=True)
class TitledSave:
    """A text under a title. What is None was not said.

    Attributes:
        folder: Another one than the script's moves it.
        base_sha256: Of the text that the author has loaded; None overwrites, and what is overwritten is kept.
    """

    name: str
    code: str
    description: str | None = None
    author: str | None = None
    version: str | None = None
    folder: str | None = None
    base_sha256: str | None = None


class TitledScripts:
    """Finds, saves, moves and deletes scripts by title. One save at a time: two of one new title make one script."""

    def __init__(
        self,
        scripts: ScriptService,
        changes: ScriptChanges,
        files: ScriptFiles,
        writer: VersionedWriter,
        versions: Versions,
    ) -> None:
        self._scripts = scripts
        self._changes = changes
        self._files = files
        self._writer = writer
        self._versions = versions
        self._turn = asyncio.Lock()
        self._stated: dict[str, tuple[str, Stated]] = {}
        """By path: the hash of a text, and what its header says."""
        self._found: dict[tuple[tuple[str, ...], str], ScriptInfo] = {}
        """What names meant, while the scripts' changes were ``_found_at``."""
        self._found_at = -1

    async def list(self, actor: Actor) -> list[TitledScript]:
        """Every script that the actor may see, by path."""
        infos = await self._infos(actor)
        oldest = await self._versions.oldest()
        stated = await asyncio.to_thread(self._all_stated, infos)
        names = await asyncio.to_thread(_Names, infos)
        return [
            TitledScript(
                info=info,
                name=names.shown(info),
                stated=stated[info.path],
                created=min(oldest.get(info.path, info.modified), info.modified),
            )
            for info in infos
        ]

    async def load(self, name: str, actor: Actor) -> tuple[TitledScript, str]:
        """Return a script and its text as it is in the file.

        Raises:
            ServiceError: ``no_script``, ``ambiguous`` or ``unreadable``.
        """
        info = await self.found(name, actor)
        loaded = await self._scripts.load(info.path, actor)
        infos = await self._infos(actor)
        return await self._one(loaded.info, loaded.text.encode(), infos), loaded.text

    async def found(self, name: str, actor: Actor) -> ScriptInfo:
        """Return the script that ``name`` means: a title, ``Folder/Title``, a path, or the id made from a title.

        A call each second must not cost a look at ten thousand files: what was found before is only read again, until
        a change of the scripts has been noticed.

        Raises:
            ServiceError: ``no_script`` or ``ambiguous``.
        """
        changes = self._scripts.changes
        if self._found_at != changes or len(self._found) > MAX_FOUND:
            self._found, self._found_at = {}, changes
        key = actor.scripts, name  # what a name means depends on what its caller may see
        if (last := self._found.get(key)) is not None and (info := await self._same(last)) is not None:
            return info
        info = await self._searched(name, actor)
        self._found[key] = info
        return info

    async def _same(self, last: ScriptInfo) -> ScriptInfo | None:
        """Read a script that was found before; None if it no longer has the title."""
        try:
            info = await self._scripts.info(last.path)
        except ServiceError:
            return None
        return info if info.title == last.title else None

    async def _searched(self, name: str, actor: Actor) -> ScriptInfo:
        return await asyncio.to_thread(_found_or_near, name, await self._infos(actor))  # perhaps among ten thousand

    async def save(self, wanted: TitledSave, actor: Actor) -> TitledScript:
        """Save a text under its title, wherever the script lies; one that is new goes into ``folder``.

        Raises:
            ServiceError: The name or the folder cannot be one, two scripts have the title, or the text is not the one
                that ``base_sha256`` was loaded from. Nothing was written.
        """
        may(actor, SCRIPTS_SAVE)
        return await asyncio.shield(self._in_turn(wanted, actor))

    async def delete(self, name: str, actor: Actor) -> ScriptInfo:
        """Delete a script; its history keeps what it held.

        Raises:
            ServiceError: ``no_script`` or ``ambiguous``.
        """
        may(actor, SCRIPTS_DELETE)
        info = await self._searched(name, actor)
        await self._changes.delete(info.path, DeleteRequest(), actor)
        return info

    async def _in_turn(self, wanted: TitledSave, actor: Actor) -> TitledScript:
        title = checked_title(wanted.name)
        async with self._turn:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await self._saved(title, wanted, actor)
                except ServiceError as error:
                    raced = error.code in ("conflict", "no_script") and wanted.base_sha256 is None
                    if not raced or attempt == ATTEMPTS:
                        raise
        raise AssertionError("the last attempt raises")

    async def _saved(self, title: str, wanted: TitledSave, actor: Actor) -> TitledScript:
        infos = await self._infos(None)  # a title is unique among all, seen or not
        there = await asyncio.to_thread(_found, title, _seen(infos, actor))
        if there is None:
            info, data = await self._created(title, wanted, infos, actor)
        else:
            if _key(there.title) != _key(title):  # it was named by its id or path
                title = there.title
            info, data = await self._replaced(there, title, wanted, infos, actor)
        others = [other for other in infos if there is None or other.path != there.path]
        return await self._one(info, data, _seen(others, actor))

    async def _created(
        self, title: str, wanted: TitledSave, infos: Sequence[ScriptInfo], actor: Actor
    ) -> tuple[ScriptInfo, bytes]:
        if wanted.base_sha256 is not None:
            raise ServiceError("conflict", f"{title} is no longer there; nothing was written.", status=409)
        if _like_path(_key(title)):
            raise ServiceError(
                "bad_name",
                f"{title} cannot be the name of a new script: it reads like a path.",
                hint="Give the name without / and without .py at its end, and the folder apart from it.",
            )
        seen = _seen(infos, actor)
        folder = known_folder(wanted.folder or "", seen)
        path = await asyncio.to_thread(free_path, folder, file_name(title), seen)
        require_script(actor, path, "save")
        await asyncio.to_thread(_require_free, title, path, None, infos, actor)
        deletion = await self._deletion_of(wanted.code, actor)
        data = await asyncio.to_thread(_composed, path, title, wanted, None)
        info = await self._scripts.write(path, data, None, actor)
        if deletion is not None and deletion.script != path:
            await self._writer.adopt(deletion, path, actor)
        return info, data

    async def _replaced(
        self, there: ScriptInfo, title: str, wanted: TitledSave, infos: Sequence[ScriptInfo], actor: Actor
    ) -> tuple[ScriptInfo, bytes]:
        before = await asyncio.to_thread(self._read, there.path)
        base = await asyncio.to_thread(_sha256, before)
        if wanted.base_sha256 not in (None, base):
            raise conflict(there.path, wanted.base_sha256)
        path = there.path
        folder = wanted.folder if wanted.folder is not None or wanted.description is None else ""
        seen = _seen(infos, actor)
        if folder is not None and known_folder(folder, seen) != folder_of(path):
            others = [info for info in infos if info.path != there.path]
            path = await asyncio.to_thread(free_path, known_folder(folder, seen), _stem(path), _seen(others, actor))
            require_script(actor, path, "save")
            await asyncio.to_thread(_require_free, title, path, there, others, actor)
        data = await asyncio.to_thread(_composed, path, title, wanted, before)
        info = there
        if path != there.path:
            info = await self._changes.rename(there.path, RenameRequest(new_path=path, base_sha256=base), actor)
        if data != before:
            info = await self._scripts.write(path, data, base, actor)
        return info, data

    async def _deletion_of(self, code: str, actor: Actor) -> VersionRow | None:
        """Return what the actor has just deleted if it held this text. An empty one says nothing."""
        if not code.strip():
            return None
        since = time.time() - REVIVED_WITHIN
        for row in await self._versions.deletions():
            if row.at < since:
                return None
            if (row.uid, row.name) == (actor.uid, actor.name) and await asyncio.to_thread(self._held, row, code):
                return row
        return None

    def _held(self, row: VersionRow, code: str) -> bool:
        """Whether a version is this text, whatever its line ends: editors change those."""
        try:
            text = self._files.kept(row.sha256).decode()
        except (StoreError, UnicodeDecodeError):
            return False
        return _lines(text) == _lines(code)

    async def _infos(self, actor: Actor | None) -> Sequence[ScriptInfo]:
        return (await self._scripts.list(actor)).scripts

    async def _one(self, info: ScriptInfo, data: bytes, infos: Sequence[ScriptInfo]) -> TitledScript:
        """Show one script as it was read or written, among others; what became of it since is for the next answer."""
        oldest = await self._versions.oldest()
        names = await asyncio.to_thread(_Names, [*(other for other in infos if other.path != info.path), info])
        return TitledScript(
            info=info,
            name=names.shown(info),
            stated=await asyncio.to_thread(stated_in, data),
            created=min(oldest.get(info.path, info.modified), info.modified),
        )

    def _read(self, path: str) -> bytes:
        try:
            return self._files.read(path)
        except StoreError as error:
            raise refused(error) from None

    def _all_stated(self, infos: Sequence[ScriptInfo]) -> Mapping[str, Stated]:
        known, stated = self._stated, {}
        for info in infos:
            last = known.get(info.path)
            if last is None or last[0] != info.sha256:
                last = info.sha256, self._read_stated(info.path)
            stated[info.path] = last
        self._stated = stated
        return {path: of_path for path, (_, of_path) in stated.items()}

    def _read_stated(self, path: str) -> Stated:
        try:
            return stated_in(self._files.read(path))
        except StoreError:
            return Stated()


def _seen(infos: Iterable[ScriptInfo], actor: Actor) -> Sequence[ScriptInfo]:
    """What may shape the answer to a caller: folders as they are written, and numbers of files, tell of scripts too."""
    return [info for info in infos if actor.sees(info.path)]


def _require_free(title: str, path: str, before: ScriptInfo | None, others: Iterable[ScriptInfo], actor: Actor) -> None:
    """Refuse a title and a path with which a name would no longer mean the script that it means.

    A caller learns so that a script that it does not see has a name, and nothing else of it. Not to say it would be
    worse: in good faith, a save in one folder would make the calls to a script in another one ambiguous.

    Args:
        title: The one to save.
        path: Where.
        before: The script as it was, if it is there already.
        others: All other scripts, also those that the actor does not see.

    Raises:
        ServiceError: ``bad_name``, or ``forbidden`` where the actor does not see the other script.
    """
    names = _Names(others)
    asked = _spellings(title, path) - (_spellings(before.title, before.path) if before is not None else set())
    meant = {name: names.meant(name) for name in sorted(asked)}
    names.add(ScriptInfo(path=path, title=title))
    for name, first in meant.items():
        if not first or names.meant(name) == first:
            continue
        if not all(actor.sees(info.path) for info in first):
            raise ServiceError(
                "forbidden",
                f"{actor.name} may not save {title}: a script that it may not reach has this name.",
                hint="Choose another name.",
                status=403,
                denied=actor,
            )
        raise ServiceError(
            "bad_name",
            f"{title} was not saved: the name {name} already means {first[0].path}.",
            hint="Choose another name.",
        )


def no_script(name: str, near: Sequence[str] = ()) -> ServiceError:
    """Return the module's own sentence, without a full stop unless another sentence follows."""
    sentence = f"Script not found: {shown(name[:MAX_TITLE])}"
    if not near:
        return ServiceError("no_script", sentence, status=404)
    return ServiceError("no_script", f"{sentence}.", hint=f"Did you mean {' or '.join(near)}?", status=404)


def _found_or_near(name: str, infos: Sequence[ScriptInfo]) -> ScriptInfo:
    """Return the script that a name means.

    Raises:
        ServiceError: ``ambiguous``, or ``no_script`` with up to three paths that are near.
    """
    found = _found(name, infos)
    if found is not None:
        return found
    spellings = {_key(text.removesuffix(SUFFIX)): info.path for info in infos for text in (info.title, info.path)}
    near = difflib.get_close_matches(_key(name[:MAX_TITLE].strip().removesuffix(SUFFIX)), spellings, n=3)
    raise no_script(name, list(dict.fromkeys(spellings[match] for match in near)))


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def seed_id(title: str) -> str:
    """Return the id that the module makes from a name: lower case, and ``_`` in place of all other characters."""
    return re.sub(r"[^a-z0-9_-]", "_", title.lower())


def checked_title(name: str) -> str:
    """Return the title that a name is.

    Raises:
        ServiceError: ``bad_name``.
    """
    title = unicodedata.normalize("NFC", name.strip())
    if not title:
        raise ServiceError("bad_name", "A script needs a name.")
    if len(title) > MAX_TITLE:
        raise ServiceError("bad_name", f"A script's name has at most {MAX_TITLE} characters, not {len(title):,}.")
    if clean(title, MAX_TITLE) != title:
        raise ServiceError(
            "bad_name", "A script's name is one line without control characters and without two blanks in a row."
        )
    return title


def file_name(title: str) -> str:
    """Return a file's name for a title, without the suffix: its letters and digits, lower case, with ``_`` between."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain) or re.findall(r"[^\W_]+", unicodedata.normalize("NFC", title.lower()))
    name = "_".join(words)[:FILE_NAME].strip("_")
    while len(name.encode()) > FILE_NAME:
        name = name[:-1]
    if not name or path_problem(name + SUFFIX) is not None:
        name = f"script_{name}".rstrip("_")
    return name if path_problem(name + SUFFIX) is None else "script"


def known_folder(text: str, infos: Iterable[ScriptInfo]) -> str:
    """Return the folder that a client means, as it is written where there is one that differs only in case.

    Raises:
        ServiceError: ``bad_name``.
    """
    parts = [part.strip() for part in unicodedata.normalize("NFC", text).split("/")]
    folder = "/".join(part for part in parts if part)
    if not folder:
        return ""
    try:
        script_path(f"{folder}/script{SUFFIX}")
    except StoreError as error:
        problem = error.sentence.partition(": ")[2] or error.sentence
        raise ServiceError("bad_name", f"{folder[:80]!r} cannot be a folder's name: {problem}") from None
    spelled: dict[str, str] = {}
    for info in infos:
        above = folder_of(info.path)
        while above:
            spelled.setdefault(folded(above), above)
            above = folder_of(above)
    known = folder
    for end in range(len(folder.split("/")), 0, -1):
        head, rest = "/".join(folder.split("/")[:end]), folder.split("/")[end:]
        if folded(head) in spelled:
            known = "/".join([spelled[folded(head)], *rest])
            break
    return known


def free_path(folder: str, name: str, infos: Iterable[ScriptInfo]) -> str:
    """Return a path in a folder that no script has, in whatever case, with a number behind the name if need be.

    Without its suffix it is no name of another script either: a path goes before titles.
    """
    infos = [*infos]
    taken, names = {folded(info.path) for info in infos}, _Names(infos)
    start = f"{folder}/" if folder else ""
    for number in range(1, MAX_NAMES):
        path = f"{start}{name}{'' if number == 1 else f'_{number}'}{SUFFIX}"
        if folded(path) not in taken and not names.meant(path.removesuffix(SUFFIX)):
            return path
    raise ServiceError(
        "bad_name", f"There are {MAX_NAMES:,} scripts called {name} already.", hint="Choose another name."
    )


def stated_in(data: bytes) -> Stated:
    """Return what a script's header says to people; defaults where it cannot be read."""
    text = data.decode("utf-8", "replace")
    try:
        own = own_table(document_of(text))
    except FrontmatterError:
        return Stated()
    return Stated(
        description=parse(text).description,
        author=_line_of(own.get("author")) or NO_AUTHOR,
        version=_line_of(own.get("version")) or NO_VERSION,
    )


def _line_of(value: object) -> str:
    return clean(value, MAX_TITLE) if isinstance(value, str) else ""


class _Names:
    """What names mean among some scripts."""

    def __init__(self, infos: Iterable[ScriptInfo]) -> None:
        self._paths: dict[str, ScriptInfo] = {}
        self._in_folders: defaultdict[str, list[ScriptInfo]] = defaultdict(list)
        """By folder with title or id."""
        self._alone: defaultdict[str, list[ScriptInfo]] = defaultdict(list)
        """By title or id."""
        for info in infos:
            self.add(info)

    def add(self, info: ScriptInfo) -> None:
        title, folder = _key(info.title), _key(folder_of(info.path))
        self._paths[info.path] = info
        for name in {seed_id(info.title)} if _like_path(title) else {title, seed_id(info.title)}:
            self._alone[name].append(info)
            self._in_folders[f"{folder}/{name}"].append(info)

    def meant(self, name: str) -> Sequence[ScriptInfo]:
        """Return the scripts that a name means: none, one, or those between which it does not choose."""
        name = unicodedata.normalize("NFC", name.strip())
        info = self._paths.get(name if name.endswith(SUFFIX) else name + SUFFIX)
        if info is not None:
            return [info]
        key = _key(name)
        return [*(self._in_folders.get(key) or self._alone.get(key) or ())]

    def shown(self, info: ScriptInfo) -> str:
        """Return the name by which a client that lists a script gets this one."""
        return info.title if self.meant(info.title) == [info] else info.path


def _like_path(key: str) -> bool:
    """Whether a title could pretend to be another script, there or not: no call by a path may ever end at a title."""
    return "/" in key or key.endswith(SUFFIX)


def _spellings(title: str, path: str) -> set[str]:
    """The names to which a script answers. An id counts where it says what the title says: not ``_`` alone."""
    folder, short = folder_of(path), seed_id(title)
    titles = {title, short} if title.isascii() and short.strip("_-") else {title}
    in_folder = {f"{folder}/{name}" for name in titles} if folder else set()
    return {path, path.removesuffix(SUFFIX)} | titles | in_folder


def _found(name: str, infos: Sequence[ScriptInfo]) -> ScriptInfo | None:
    """The script that a name means.

    Raises:
        ServiceError: ``ambiguous``.
    """
    matches = _Names(infos).meant(name)
    if len(matches) > 1:
        paths = " and ".join(info.path for info in matches[:5])
        raise ServiceError(
            "ambiguous",
            f"{len(matches)} scripts have the name {name.strip()[:MAX_TITLE]!r}: {paths}.",
            hint="Name the one that is meant by its path, or give one of them another title.",
            status=409,
        )
    return matches[0] if matches else None


def _key(title: str) -> str:
    return unicodedata.normalize("NFC", title).casefold()


def _stem(path: str) -> str:
    return _last(path).removesuffix(SUFFIX)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _composed(path: str, title: str, wanted: TitledSave, before: bytes | None) -> bytes:
    """The bytes to save: the text with its title, and with the header that the script had if it comes without one.

    What a client sends as it was is not its wish: then the text's own header counts.
    """
    try:
        data = wanted.code.encode()
    except UnicodeEncodeError:
        raise ServiceError("bad_text", "The text holds a lone surrogate, which UTF-8 cannot carry.") from None
    try:
        if before is not None and Block.of(data) is None:
            data = with_header_of(data, before)
        changes = _changes(path, title, wanted, Stated() if before is None else stated_in(before), data)
        return apply_changes(data, changes) if changes else data
    except FrontmatterError as error:
        raise ServiceError("bad_header", f"{title} was not saved: {error}", status=422) from None


def _changes(path: str, title: str, wanted: TitledSave, before: Stated, data: bytes) -> dict[str, object]:
    """The keys of the header that have to become what the client wants."""
    changes: dict[str, object] = {}
    if parse(data.decode("utf-8", "replace"), path).title != title:
        changes["title"] = title
    now = stated_in(data)
    for key, limit in (("description", MAX_TEXT), ("author", MAX_TITLE), ("version", MAX_TITLE)):
        given = getattr(wanted, key)
        if given is None:
            continue
        line = " ".join(given.split())
        if len(line) > limit:
            raise ServiceError("bad_request", f"The {key} has at most {limit:,} characters, not {len(line):,}.")
        line = clean(line, limit)
        line = line or getattr(Stated(), key)
        if line not in (getattr(before, key), getattr(now, key)):
            changes[key] = None if line == getattr(Stated(), key) else line
    return changes
