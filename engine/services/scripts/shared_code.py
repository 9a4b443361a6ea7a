"""Shared code (DESIGN 4.3): which files below ``scripts/lib`` a text imports, read once for each run.

What is found is the run's identity and all that it can import: the texts travel with the run. Compiled code comes from
the tools child, by the file's path and hash; until it is there, a run's own process compiles.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shlex
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from engine.models.shared import SharedFile
from engine.pool.job import SharedModule
from engine.services.access import ServiceError
from engine.shared_imports import LIB, Wanted, wanted
from store.errors import StoreError
from store.files.names import SUFFIX, is_shared, shared_module
from store.files.scripts import ScriptFiles
from store.files.shared_code import SharedFolder
from store.frontmatter.coding import coding_problem
from store.frontmatter.read import DeclaredLimits, Frontmatter
from store.sizes import describe_size

MAX_FILES = 200
MAX_SIZE = 1 << 20
"""Bytes of all files that one run is given."""

MAX_WANTED = 5000
"""Modules that are looked for, for one run."""

MAX_COMPILED = 16 << 20
"""Bytes of compiled code that are held, of all files."""

MAX_COMPILED_FILES = 1024

MAX_KNOWN = 1024
"""Texts whose imports are remembered."""

MAX_NAME = 200
"""Characters of a module's name in a sentence."""

INIT = "__init__"

log = logging.getLogger(__name__)

Compile = Callable[[str, str], Awaitable[bytes | None]]
"""Compile a file's text, given with its path, where nothing else runs; None if that cannot be done."""


class SharedCode:
    def __init__(self, files: ScriptFiles, known_paths: Callable[[], Iterable[str]], compiler: Compile) -> None:
        """``known_paths`` are those of the scripts as they were last seen: only for what is said about a failure."""
        self._files = files
        self._known_paths = known_paths
        self._compiler = compiler
        self._imports: OrderedDict[tuple[str, str], list[Wanted]] = OrderedDict()
        self._compiled: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._compiled_size = 0
        self._uncompiled: dict[tuple[str, str], SharedModule] = {}
        self._compiling: asyncio.Task[None] | None = None

    @property
    def folder(self) -> str:
        """The folder that paths of files are relative to."""
        return str(self._files.folder)

    async def used_by(self, data: bytes, module: str = "") -> tuple[SharedModule, ...]:
        """Return what a text imports, itself and by what it imports, by name.

        Args:
            data: The text of a run.
            module: What a run calls instead of a text.

        Raises:
            ServiceError: ``bad_shared_code`` when a file cannot be used, ``too_much_shared_code``.
        """
        if not _is_shared(module) if module else LIB.encode() not in data:
            return ()
        return await asyncio.to_thread(self.look, data, module)

    def look(self, data: bytes, module: str = "") -> tuple[SharedModule, ...]:
        """``used_by``. Blocks."""
        text = data.decode("utf-8", "replace")
        first = [Wanted(module)] if module else self._wanted(text, hashlib.sha256(data).hexdigest(), "")
        if not first:
            return ()
        try:
            with self._files.shared() as folder:
                return _Search(folder, self._wanted).find(first)
        except StoreError as error:
            raise ServiceError("bad_shared_code", error.sentence, hint=error.hint, status=422) from None

    def with_code(self, modules: Sequence[SharedModule]) -> tuple[SharedModule, ...]:
        """``modules`` with the compiled code that is there; the other files' will be, for later runs."""
        made = []
        for one in modules:
            key = one.path, one.sha256
            code = self._compiled.get(key)
            if code is not None:
                self._compiled.move_to_end(key)
                made.append(replace(one, code=code))
            else:
                made.append(one)
                if one.text:
                    self._uncompiled[key] = one
        if self._uncompiled and (self._compiling is None or self._compiling.done()):
            self._compiling = asyncio.create_task(self._compile(), name="compile shared code")
        return tuple(made)

    async def compiled(self) -> None:
        """Wait until nothing is being compiled."""
        if self._compiling is not None:
            await asyncio.gather(self._compiling, return_exceptions=True)

    async def close(self) -> None:
        if self._compiling is not None:
            self._compiling.cancel()
        await self.compiled()

    async def _compile(self) -> None:
        """Have one file after the other compiled: checks of texts wait for the same slot."""
        try:
            while self._uncompiled:
                key, module = next(iter(self._uncompiled.items()))
                code = await self._compiler(module.text.decode("utf-8", "replace"), module.path)
                self._keep(key, code or b"")  # what cannot be compiled, too: the run's own process tells why
                del self._uncompiled[key]
        except ServiceError as error:  # the parser has no room now: later runs ask again
            log.debug("shared code is not compiled ahead: %s", error.message)
        finally:
            self._uncompiled.clear()

    def _keep(self, key: tuple[str, str], code: bytes) -> None:
        self._compiled[key] = code
        self._compiled_size += len(code)
        while self._compiled_size > MAX_COMPILED or len(self._compiled) > MAX_COMPILED_FILES:
            _, gone = self._compiled.popitem(last=False)
            self._compiled_size -= len(gone)

    def explain(self, module: str, script: str) -> str | None:
        """Say what the project knows about a module that a run could not import.

        Args:
            module: Its absolute name.
            script: The run's script, to find what is beside it; it may be none.
        """
        if len(module) > MAX_NAME or not all(part.isidentifier() for part in module.split(".")):
            return None  # a child said it
        if _is_shared(module):
            return self._explain_shared(module)
        if (sentence := self.certainly(module, script)) is not None:
            return sentence
        end = f"/{module.replace('.', '/')}{SUFFIX}"
        found = (path for path in self._known_paths() if path.endswith(end) and path != script and not is_shared(path))
        sibling = None if _is_pythons(module) else min(found, default=None)
        return None if sibling is None else sibling_sentence(module, sibling)

    def certainly(self, module: str, script: str) -> str | None:
        """Say that an import of ``module`` by ``script`` means a file of lib, or a script in its folder or one above.

        There ``python3`` would find it, too. None if nothing of that name is there.
        """
        if _is_pythons(module):
            return None
        for path in _files_of(f"{LIB}.{module}"):
            if self._files.there(path):
                return f'{module} is shared code of this project ({path}): write "from {LIB}.{module} import …".'
        wanted_path = module.replace(".", "/") + SUFFIX
        folder = script.rpartition("/")[0]
        while True:
            path = f"{folder}/{wanted_path}" if folder else wanted_path
            if path != script and self._files.there(path):
                return sibling_sentence(module, path)
            if not folder:
                return None
            folder = folder.rpartition("/")[0]

    def unlikely(self, module: str, script: str) -> str | None:
        """Say why an import of ``module`` by ``script`` will probably not succeed: another script, no file in lib."""
        if _is_shared(module):
            there = module == LIB or any(map(self._files.there, _files_of(module)))
            return None if there or self._holds(module.replace(".", "/")) else self._explain_shared(module)
        return self.certainly(module, script)

    def judged(self, module: str) -> tuple[bool, str] | None:
        """Say of a module that is asked about by name whether it is there for scripts, and where or why not.

        None if the project has nothing of that name. Blocks.
        """
        if not _is_shared(module):
            sentence = self.explain(module, "")
            return None if sentence is None else (False, sentence)
        path = next(filter(self._files.there, _files_of(module)), None)
        if path is not None:
            return True, f"shared code of this project (scripts/{path})"
        place = module.replace(".", "/")
        if self._is_folder(place):
            return True, f"shared code of this project (the folder scripts/{place})"
        if module == LIB:
            return False, self._explain_shared(module)
        return False, f"There is no scripts/{place}{SUFFIX}."

    def _is_folder(self, place: str) -> bool:
        try:
            with self._files.shared() as folder:
                return folder.is_folder(place)
        except StoreError:
            return False

    def _holds(self, folder: str) -> bool:
        return any(path.startswith(folder + "/") for path in self._known_paths())

    def _explain_shared(self, module: str) -> str:
        for candidate in _files_of(module):
            if self._files.there(candidate):
                return (
                    f"{candidate} did not come with this run: it gets the shared code that an import statement or a "
                    f'whole name between quotes asks for. Write "import {module}" in the script.'
                )
        if module == LIB and self._is_folder(LIB):
            return (
                "No shared code came with this run: it gets what an import statement or a whole name between quotes "
                f'asks for, like "import {LIB}.tags".'
            )
        if module == LIB:
            return "This project has no shared code: scripts import what is in the folder lib."
        return f"There is no {module.replace('.', '/')}{SUFFIX} among the project's scripts."

    def _wanted(self, text: str, sha256: str, package: str) -> list[Wanted]:
        key = sha256, package
        found = self._imports.get(key)
        if found is None:
            found = self._imports[key] = wanted(text, package)
            while len(self._imports) > MAX_KNOWN:
                self._imports.popitem(last=False)
        return found


class _Search:
    """Follows the imports of one text through the files."""

    def __init__(self, folder: SharedFolder, imports: Callable[[str, str, str], list[Wanted]]) -> None:
        self._folder = folder
        self._imports = imports
        self._found: dict[str, SharedModule | None] = {}
        self._todo: list[Wanted] = []
        self._files = 0
        self._size = 0

    def find(self, first: Sequence[Wanted]) -> tuple[SharedModule, ...]:
        self._todo = list(first)
        while self._todo:
            one = self._todo.pop()
            module = self._with_packages(one.module)
            if module is not None and module.package:
                names = one.names
                if "*" in names:  # its __all__ may name any of them (the language reference, 7.11)
                    names = tuple(self._folder.modules(module.name.replace(".", "/")))
                for name in names:
                    self._load(f"{module.name}.{name}")
        return tuple(module for _, module in sorted(self._found.items()) if module is not None)

    def _with_packages(self, name: str) -> SharedModule | None:
        """The module of that name, after the packages it is in; None where one of them is none."""
        parts = name.split(".")
        for size in range(1, len(parts) + 1):
            module = self._load(".".join(parts[:size]))
            if module is None or (size < len(parts) and not module.package):
                return None
        return module

    def _load(self, name: str) -> SharedModule | None:
        if name not in self._found:
            if len(self._found) >= MAX_WANTED:
                raise _too_much(f"It names more than {MAX_WANTED:,} modules of lib.")
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> SharedModule | None:
        """As Python looks for it: a package before a module, a folder without ``__init__.py`` after both."""
        place = name.replace(".", "/")
        if place.endswith(f"/{INIT}"):  # a package under a second name
            return None
        if self._folder.is_folder(place):
            path = f"{place}/{INIT}{SUFFIX}"
            if (data := self._folder.text(path)) is not None:
                return self._taken(SharedModule(name, path, data, package=True), name)
        path = place + SUFFIX
        if is_shared(path) and (data := self._folder.text(path)) is not None:
            return self._taken(SharedModule(name, path, data), name.rpartition(".")[0])
        return SharedModule(name, package=True) if self._folder.is_folder(place) else None

    def _taken(self, module: SharedModule, package: str) -> SharedModule:
        self._files += 1
        self._size += len(module.text)
        if self._files > MAX_FILES:
            raise _too_much(f"It imports more than {MAX_FILES} files of lib.")
        if self._size > MAX_SIZE:
            raise _too_much(f"It imports more than {describe_size(MAX_SIZE)} of lib.")
        text = _text(module)
        sha256 = hashlib.sha256(module.text).hexdigest()
        self._todo += self._imports(text, sha256, package)
        return replace(module, sha256=sha256)


def _is_shared(module: str) -> bool:
    return module == LIB or module.startswith(LIB + ".")


def _is_pythons(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _files_of(module: str) -> tuple[str, str]:
    """Where the text of a module of lib can be."""
    path = module.replace(".", "/")
    return path + SUFFIX, f"{path}/{INIT}{SUFFIX}"


def _text(module: SharedModule) -> str:
    """The text of a file, if it can be Python source."""
    problem = coding_problem(module.text)
    if problem is None and b"\0" in module.text:
        problem = "It holds a NUL character; Python source cannot."
    if problem is None:
        try:
            return module.text.decode()
        except UnicodeDecodeError as error:
            problem = f"It is not UTF-8 in line {module.text.count(10, 0, error.start) + 1}."
    raise ServiceError("bad_shared_code", f"{module.path} cannot be imported: {problem}", status=422)


def _too_much(sentence: str) -> ServiceError:
    hint = "Let it import less, or hand large data over as a file."
    return ServiceError("too_much_shared_code", sentence, hint=hint, status=413)


def shared_files(modules: Iterable[SharedModule]) -> list[SharedFile]:
    """The files of ``modules`` with their hashes, by path: what enters the identity of a run."""
    files = (SharedFile(path=one.path, sha256=one.sha256) for one in modules if one.path)
    return sorted(files, key=lambda file: file.path)


def kept_modules(texts: Mapping[str, bytes]) -> tuple[SharedModule, ...]:
    """The shared code that a run had, of the texts that are kept of it, by path."""
    made: dict[str, SharedModule] = {}
    for path, text in texts.items():
        name = shared_module(path)
        sha256 = hashlib.sha256(text).hexdigest()
        made[name] = SharedModule(name, path, text, sha256, package=path.endswith(f"/{INIT}{SUFFIX}"))
    for name in list(made):
        while name := name.rpartition(".")[0]:
            made.setdefault(name, SharedModule(name, package=True))
    return tuple(made[name] for name in sorted(made))


def whole_sha256(sha256: str, shared: Sequence[SharedFile]) -> str:
    """One hash for a text with its shared code: of the text alone where there is none."""
    if not shared:
        return sha256
    lines = [sha256, *(f"{file.sha256} {file.path}" for file in shared)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def changed_files(old: Iterable[SharedFile], new: Iterable[SharedFile]) -> list[str]:
    """The paths of files that are not the same in both."""
    before, now = ({file.path: file.sha256 for file in files} for files in (old, new))
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def not_run(path: str) -> ServiceError:
    """The refusal to run a file of the shared code."""
    module = shared_module(path)
    sentence = f"{path} holds shared code: scripts import it, and it does not run by itself."
    return ServiceError("shared_code", sentence, hint=f"In a script: import {module}", status=422)


def vain_header(path: str, front: Frontmatter) -> str | None:
    """Say what the header of a file of shared code says in vain; None for scripts, and where it says nothing."""
    if not is_shared(path):
        return None
    said = {
        "entrypoint": front.entrypoint is not None,
        "enabled": not front.enabled,
        "params": front.params,
        "limits": front.limits != DeclaredLimits(),
        "permissions": front.permissions,
        "preload": front.preload,
        "dependencies": front.dependencies,
        "requires-python": front.requires_python is not None,
        "environment": front.environment,
    }
    keys = [key for key, given in said.items() if given]
    if not keys:
        return None
    return (
        f"Shared code does not run by itself: {', '.join(keys)} of its header mean nothing. "
        "The header of the script that imports it counts."
    )


def sibling_sentence(module: str, path: str) -> str:
    """What to do when a script imports another script."""
    name = path.rpartition("/")[2].removesuffix(SUFFIX)
    move = f"gatewright scripts rename {shlex.quote(path.removesuffix(SUFFIX))} {LIB}/{shlex.quote(name)}"
    return (
        f"{module} is a script of this project ({path}), and scripts do not import each other: shared code belongs in "
        f"scripts/{LIB}. Move it with: {move}; then write: from {LIB}.{name} import …"
    )
